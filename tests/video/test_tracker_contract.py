"""What every tracker promises, whatever its method: identities, bad input, saved states, bounded memory."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from vidperc.structures import Frame, Instances, Video
from vidperc.video.association import iou_matrix, touching_pairs
from vidperc.video.bot_sort import BoTSORT
from vidperc.video.byte_track import ByteTrack, EagerByteTrack
from vidperc.video.camera_motion import SparseFlowMotion
from vidperc.video.compensated import Compensated
from vidperc.video.deep_sort import DeepSORT, EagerDeepSORT
from vidperc.video.eager_oc_sort import EagerOCSORT
from vidperc.video.oc_sort import OCSORT, direction_agreement
from vidperc.video.sort import SORT, EagerSORT
from vidperc.video.track_arrays import DetectionArrays
from vidperc.video.track_region import Region, Shapes
from vidperc.video.tracker_state import load_state, save_state
from vidperc.video.tracking import GivenDetections, PerClass, TrackByDetection, Tracker
from vidperc.video.tracktor import TracktorTracker


class FoundNetworks:
    """Networks of a frame that answer with its detections: a box goes onto the one that it overlaps most."""

    def __init__(self, found):
        self.boxes = found.boxes.double().numpy()
        self.scores = np.ones(len(found)) if found.scores is None else found.scores.double().numpy()
        self.looks = found.embeddings.double().numpy()

    def nearest(self, boxes):
        overlap = iou_matrix(np.asarray(boxes), self.boxes)
        return overlap.argmax(1), overlap.max(1)

    def regress(self, boxes, labels):
        if not len(self.boxes):
            return boxes, np.full(len(boxes), 0.1)
        nearest, overlap = self.nearest(boxes)
        return self.boxes[nearest], np.where(overlap > 0.3, self.scores[nearest], 0.1)

    def embed(self, boxes):
        return self.looks[self.nearest(boxes)[0]] if len(boxes) and len(self.boxes) else self.looks[:0]


class Tracktor(Tracker):
    """Tracktor's tracks with a detector that moves boxes onto the frame's detections."""

    def __init__(self, **options):
        self.tracker = TracktorTracker(**options)

    def update(self, detections, state, *, frame=None, dt=1.0):
        return self.tracker.update(detections, state, FoundNetworks(detections), dt=dt)

    def init_state(self):
        return self.tracker.init_state()

    def alive(self, state):
        return self.tracker.alive(state)

    def warp(self, state, warp):
        self.tracker.warp(state, warp)


TRACKERS = {
    "sort": SORT(),
    "eager_sort": EagerSORT(),
    "byte_track": ByteTrack(),
    "eager_byte_track": EagerByteTrack(),
    "oc_sort": OCSORT(),
    "eager_oc_sort": EagerOCSORT(),
    "deep_sort": DeepSORT(),
    "eager_deep_sort": EagerDeepSORT(),
    "bot_sort": BoTSORT(),
    "bot_sort_camera": BoTSORT(camera=SparseFlowMotion(downscale=1, corners=100)),
    "per_class": PerClass(OCSORT()),
    "sort_camera": Compensated(SORT(), SparseFlowMotion(downscale=1, corners=100)),
    "tracktor": Tracktor(),
    "tracktor_linear": Tracktor(linear_motion=True),
}
all_trackers = pytest.mark.parametrize("tracker", TRACKERS.values(), ids=TRACKERS.keys())
WALKERS = 6


def walk(frames, misses=0.1, seed=0, extra=1, start=0):
    """Detections of people who walk in parallel, some missed, some false, each with an appearance."""
    rng = np.random.default_rng(seed)
    faces = rng.normal(size=(WALKERS, 16))
    out = []
    for k in range(start, start + frames):
        x, y = 40 + np.arange(WALKERS) * 90 + 3.0 * k, 60 + np.arange(WALKERS) * 20 + 1.0 * k
        boxes = np.stack((x, y, x + 40, y + 100), 1) + rng.normal(0, 1, (WALKERS, 4))
        seen = (rng.random(WALKERS) >= misses).nonzero()[0]
        false = rng.uniform(700, 900, (extra, 2))
        boxes = np.concatenate((boxes[seen], np.concatenate((false, false + 50), 1)))
        looks = np.concatenate((faces[seen] + rng.normal(0, 0.1, (len(seen), 16)), rng.normal(size=(extra, 16))))
        out.append(detections(boxes, rng.uniform(0.75, 0.99, len(boxes)), looks))
    return out


def detections(boxes, scores=None, looks=None, labels=None):
    boxes = torch.as_tensor(np.asarray(boxes), dtype=torch.float32).reshape(-1, 4)
    return Instances(
        boxes=boxes,
        scores=None if scores is None else torch.as_tensor(np.asarray(scores), dtype=torch.float32),
        labels=torch.zeros(len(boxes), dtype=torch.int64) if labels is None else torch.tensor(labels),
        embeddings=None if looks is None else torch.as_tensor(np.asarray(looks), dtype=torch.float32),
    )


def nothing(dimension=16):
    return detections(np.zeros((0, 4)), np.zeros(0), np.zeros((0, dimension)))


TEXTURE = np.random.default_rng(0).integers(0, 255, (12, 25, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def picture(k):
    """A textured picture that moves by a pixel a frame."""
    return Frame.from_array(np.roll(TEXTURE, k, 1), k)


def run(tracker, frames, state=None, start=0):
    state = tracker.init_state() if state is None else state
    return [tracker.update(found, state, frame=picture(start + k)) for k, found in enumerate(frames)], state


def same(a, b):
    """Bit for bit; a track that no detection matched has a NaN for its detection's box."""
    return all(np.array_equal(value, getattr(b, name), equal_nan=True) for name, value in a.set_fields())


@all_trackers
def test_walkers_keep_their_ids(tracker):
    out, _ = run(tracker, walk(30, misses=0.0, extra=0))
    assert len(out[-1]) == WALKERS
    for before, after in zip(out[5:], out[6:]):
        a = dict(zip(before.ids.tolist(), before.boxes))
        b = dict(zip(after.ids.tolist(), after.boxes))
        assert a.keys() == b.keys()
        assert all(torch.allclose(a[key] + torch.tensor([3.0, 1, 3, 1]), b[key], atol=8) for key in a)


@all_trackers
def test_reports_are_complete(tracker):
    frames = walk(20)
    out, _ = run(tracker, frames)
    for found, tracks in zip(frames, out):
        tracks.validate()
        assert len(set(tracks.ids.tolist())) == len(tracks)
        assert (tracks.ids > 0).all()
        seen = tracks.detection_indices >= 0  # Tracktor follows objects without a detection too
        assert seen.all() or isinstance(tracker, Tracktor)
        assert torch.equal(found.boxes[tracks.detection_indices[seen]], tracks.detection_boxes[seen])
        assert torch.isnan(tracks.detection_boxes[~seen]).all()
        assert torch.equal(found.scores[tracks.detection_indices[seen]], tracks.scores[seen])
        assert tracks.labels.dtype == tracks.ids.dtype == tracks.states.dtype == torch.int64
        assert tracks.boxes.dtype == tracks.scores.dtype == torch.float32
        assert set(tracks.states.tolist()) <= {0, 1}


@all_trackers
def test_a_saved_state_continues_bit_for_bit(tracker, tmp_path):
    frames = walk(60, misses=0.3)
    whole, _ = run(tracker, frames)
    _, state = run(tracker, frames[:33])
    save_state(state, tmp_path / "state.npz")
    rest, _ = run(tracker, frames[33:], load_state(tmp_path / "state.npz"), start=33)
    assert all(same(a, b) for a, b in zip(whole[33:], rest))


@all_trackers
def test_two_videos_do_not_mix(tracker):
    one, other = walk(15, seed=1), walk(15, seed=2)
    alone = run(tracker, one)[0], run(tracker, other)[0]
    states = tracker.init_state(), tracker.init_state()
    for k in range(15):
        for which, frames in enumerate((one, other)):
            assert same(tracker.update(frames[k], states[which], frame=picture(k)), alone[which][k])


@all_trackers
def test_input_is_left_alone(tracker):
    frames = walk(6)
    copies = [Instances(**{name: value.clone() for name, value in found.set_fields()}) for found in frames]
    doubles = [found.replace(boxes=found.boxes.double(), embeddings=found.embeddings.double()) for found in frames]
    kept = [found.embeddings.clone() for found in doubles]
    run(tracker, frames)
    run(tracker, doubles)
    assert all(same(a, b) for a, b in zip(frames, copies))
    assert all(torch.equal(a.embeddings, b) for a, b in zip(doubles, kept))


@all_trackers
def test_nothing_for_a_long_time_ends_all_tracks(tracker):
    _, state = run(tracker, walk(10, misses=0))
    out, _ = run(tracker, [nothing()] * 105, state)
    assert all(len(tracks) == 0 for tracks in out)
    assert len(tracker.alive(state)) == 0
    again, _ = run(tracker, walk(10, misses=0, extra=0), state)
    assert len(again[-1]) == WALKERS


@all_trackers
def test_memory_does_not_grow(tracker, tmp_path):
    sizes = []
    _, state = run(tracker, walk(120, misses=0.2, seed=3))
    for part in range(2):
        save_state(state, tmp_path / "state.npz")
        sizes.append((tmp_path / "state.npz").stat().st_size)
        run(tracker, walk(120, misses=0.2, seed=4 + part), state)
    assert max(sizes) < 2 * sizes[0]


@all_trackers
def test_thousands_of_detections(tracker):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 4000, (2000, 2))
    boxes = np.concatenate((low, low + rng.uniform(10, 60, (2000, 2))), 1)
    frame = detections(boxes, np.full(2000, 0.9), rng.normal(size=(2000, 4)))
    out, _ = run(tracker, [frame] * 2)
    assert len(out[-1]) > 1000 or len(tracker.alive(_)) > 1000


@all_trackers
def test_tracks_move_along_with_the_camera(tracker):
    """The camera is turned by a quarter of the picture: told of it, a tracker does as if nothing had happened."""
    frames = walk(20, misses=0.2)
    shift = torch.tensor([300.0, -80.0]).repeat(2)
    still, state = [], tracker.init_state()
    for found in frames:
        still.append(tracker.update(found, state))
    turned, state = [], tracker.init_state()
    for k, found in enumerate(frames):
        if k == 12:
            tracker.warp(state, np.array([[1.0, 0.0, 300.0], [0.0, 1.0, -80.0]]))
        turned.append(tracker.update(found if k < 12 else found.replace(boxes=found.boxes + shift), state))
    for a, b in zip(still[12:], turned[12:]):
        assert a.ids.tolist() == b.ids.tolist()
        assert torch.allclose(a.boxes + shift, b.boxes, atol=1e-2)


@all_trackers
def test_a_repeated_frame_moves_nothing(tracker):
    """A frame that comes twice, with no time between, keeps ids and boxes."""
    frames = walk(12, misses=0, extra=0)
    out, state = run(tracker, frames)
    again = tracker.update(frames[-1], state, frame=picture(11), dt=0.0)
    assert sorted(again.ids.tolist()) == sorted(out[-1].ids.tolist())
    order = torch.argsort(again.ids), torch.argsort(out[-1].ids)
    assert torch.allclose(again.boxes[order[0]], out[-1].boxes[order[1]], atol=2.0)


@all_trackers
def test_a_jump_in_time_ends_what_is_too_old(tracker):
    _, state = run(tracker, walk(10, misses=0))
    tracker.update(nothing(), state, dt=1000.0)
    assert len(tracker.alive(state)) == 0


@all_trackers
@pytest.mark.parametrize("dt", [-1.0, float("nan"), float("inf")])
def test_impossible_time_steps(tracker, dt):
    with pytest.raises(ValueError, match="dt"):
        tracker.update(walk(1)[0], tracker.init_state(), dt=dt)


@all_trackers
def test_without_scores_detections_are_certain(tracker):
    frames = walk(12, misses=0, extra=0)
    ones, _ = run(tracker, [found.replace(scores=torch.ones(len(found))) for found in frames])
    without, _ = run(tracker, [found.replace(scores=None) for found in frames])
    assert all(same(a, b) for a, b in zip(ones, without))
    assert len(without[-1]) == WALKERS


@all_trackers
@pytest.mark.parametrize("bad", [[0, 0, float("nan"), 5], [0, 0, float("inf"), 5], [9, 0, 3, 5]])
def test_impossible_boxes_are_named(tracker, bad):
    found = walk(1)[0]
    found.boxes[2] = torch.tensor(bad)
    state = tracker.init_state()
    with pytest.raises(ValueError, match=r"update \d+: box \d+ is (not finite|inverted)"):
        tracker.update(found, state)
    assert state.next_id == 1


@all_trackers
def test_a_score_that_is_no_number_is_named(tracker):
    found = walk(1)[0]
    found.scores[1] = float("nan")
    with pytest.raises(ValueError, match="score of detection 1 is NaN"):
        tracker.update(found, tracker.init_state())


@all_trackers
def test_boxes_of_no_area_are_ignored(tracker):
    frames = walk(12, misses=0, extra=0)
    flat = torch.tensor([[50.0, 50, 50, 90]])
    more = [
        Instances.cat([Instances(flat, found.labels[:1], found.scores[:1], embeddings=found.embeddings[:1]), found])
        for found in frames
    ]
    plain, _ = run(tracker, frames)
    out, _ = run(tracker, more)
    for a, b in zip(plain, out):
        assert torch.equal(a.boxes, b.boxes)
        seen = a.detection_indices >= 0
        assert torch.equal(torch.where(seen, a.detection_indices + 1, -1), b.detection_indices)


@pytest.mark.parametrize("name", ["deep_sort", "eager_deep_sort", "bot_sort"])
def test_embeddings_of_another_size(name):
    _, state = run(TRACKERS[name], walk(5))
    with pytest.raises(ValueError, match=r"update 5: embeddings \(\d+, 8\), expected \(M, 16\)"):
        TRACKERS[name].update(detections([[0, 0, 9, 9]] * 3, [0.9] * 3, np.ones((3, 8))), state)


@pytest.mark.parametrize("name", ["deep_sort", "eager_deep_sort"])
def test_embeddings_that_are_missing(name):
    with pytest.raises(ValueError, match="needs embeddings"):
        TRACKERS[name].update(walk(1)[0].replace(embeddings=None), TRACKERS[name].init_state())


@pytest.mark.parametrize("name", ["deep_sort", "eager_deep_sort", "bot_sort"])
def test_an_unknown_appearance_is_matched_by_position(name):
    frames = walk(20, misses=0, extra=0)
    for found in frames[8:14]:
        found.embeddings[2] = float("nan")
    out, _ = run(TRACKERS[name], frames)
    assert sorted(out[-1].ids.tolist()) == sorted(out[7].ids.tolist())
    assert len(out[10]) == WALKERS


def test_appearance_tells_crossing_people_apart():
    """Two people stop at one place and part again: only their looks tell who is who."""
    looks = np.eye(2, 16)
    frames = []
    for k in range(40):
        x = 100.0 + (5 * min(k, 20) if k < 24 else 100 - 5 * (k - 23)), 300.0 - (5 * min(k, 20) if k < 24 else 100)
        x = np.array([x[0], 300.0 - (x[0] - 100.0)])
        frames.append(detections(np.stack((x, [50, 50], x + 40, [150, 150]), 1), [0.9, 0.9], looks))
    out, _ = run(DeepSORT(), frames)
    first = {int(i): int(j) for i, j in zip(out[10].ids, out[10].detection_indices)}
    last = {int(i): int(j) for i, j in zip(out[-1].ids, out[-1].detection_indices)}
    assert first == last


def test_low_detections_carry_a_track_on():
    frames = [detections([[100 + 2 * k, 50, 140 + 2 * k, 150]], [0.3 if 5 <= k < 10 else 0.9]) for k in range(15)]
    out, _ = run(ByteTrack(), frames)
    assert [tracks.ids.tolist() for tracks in out] == [[1]] * 15
    out, _ = run(OCSORT(), frames)
    assert [len(tracks) for tracks in out[5:10]] == [0] * 5


def test_a_gap_is_bridged_by_the_last_observation():
    """A person who stops behind a pillar is where the motion does not say: OC-SORT looks at the last box too."""
    x = [100.0 + 12 * min(k, 10) for k in range(25)]
    frames = [nothing() if 11 <= k < 16 else detections([[x[k], 50, x[k] + 40, 150]], [0.9]) for k in range(25)]
    out, _ = run(OCSORT(), frames)
    assert out[-1].ids.tolist() == out[9].ids.tolist()
    out, _ = run(SORT(max_age=30), frames)
    assert out[-1].ids.tolist() != out[9].ids.tolist()


def model(tracker, **options):
    return TrackByDetection(GivenDetections(), tracker, **options)


def given(frames, times=None):
    image = torch.zeros(3, 400, 900, dtype=torch.uint8)
    return [Frame(image, k, None if times is None else times[k], detections=found) for k, found in enumerate(frames)]


def test_class_filter_and_region_keep_the_rows_of_the_input():
    boxes = [[10, 10, 50, 90], [200, 10, 240, 90], [400, 10, 440, 90], [600, 10, 640, 90]]
    frames = [detections(boxes, [0.9] * 4, labels=[0, 1, 1, 0]) for _ in range(4)]
    out = list(model(SORT(), labels=[1]).stream(Video.from_frames(given(frames))))
    assert [sorted(tracks.detection_indices.tolist()) for tracks in out] == [[1, 2]] * 4
    chosen = model(SORT(), region=Region([[300, 0], [900, 0], [900, 200], [300, 200]]))
    out = list(chosen.stream(Video.from_frames(given(frames))))
    assert [sorted(tracks.detection_indices.tolist()) for tracks in out] == [[2, 3]] * 4
    assert torch.equal(out[-1].detection_boxes.sort(0)[0], torch.tensor(boxes[2:]).float())


def test_shapes():
    frames = [detections([[10, 10, 50, 90], [200, 10, 300, 50], [5, 5, 6, 7]], [0.9] * 3) for _ in range(3)]
    out = list(model(SORT(), shapes=Shapes(100, 1.6)).stream(Video.from_frames(given(frames))))
    assert [tracks.detection_indices.tolist() for tracks in out] == [[0]] * 3


def test_region():
    region = Region([[0, 0], [10, 0], [10, 10], [5, 5], [0, 10]])
    points = np.array([[1.0, 1], [5, 7], [9, 7], [11, 1]])
    assert region.contains(points).tolist() == [True, False, True, False]
    assert Region([0, 0, 4, 4]).contains(points).tolist() == [True, False, False, False]
    with pytest.raises(ValueError, match="at least 3 corners"):
        Region([[0, 0], [1, 1]])


def test_per_class_never_mixes_classes():
    """The class of a box flickers: over all classes it is one track, per class it is two."""
    frames = [detections([[10 + k, 10, 50 + k, 90]], [0.9], labels=[k // 6 % 2]) for k in range(24)]
    out, _ = run(SORT(max_age=10), frames)
    assert {i for tracks in out for i in tracks.ids.tolist()} == {1}
    out, _ = run(PerClass(SORT(max_age=10)), frames)
    ids = {(i, c) for tracks in out for i, c in zip(tracks.ids.tolist(), tracks.labels.tolist())}
    assert len({i for i, _ in ids}) == len(ids) >= 2
    with pytest.raises(ValueError, match="labels"):
        PerClass(SORT()).update(frames[0].replace(labels=None), PerClass(SORT()).init_state())


def test_time_of_frames():
    """At a variable rate, the same motion in time gives the same speed; time cannot run back."""
    times = np.cumsum([0.1, 0.1, 0.2, 0.1, 0.3, 0.1, 0.1])
    frames = given([detections([[100 * t, 10, 100 * t + 40, 90]], [0.9]) for t in times], times.tolist())
    timed = model(SORT(max_age=3), frame_rate=10.0)
    state = timed.init_state()
    for frame in frames:
        timed.step(frame, state)
    assert state.tracker.tracks.filter[0, 0, 1] == pytest.approx(10.0, rel=0.02)
    with pytest.raises(ValueError, match="before the previous"):
        timed.step(frames[0], state)


def test_a_batch_of_videos_equals_one_by_one():
    videos = [given(walk(10, seed=s)) for s in range(3)]
    tracked = model(ByteTrack())
    alone = [list(tracked.stream(Video.from_frames(frames))) for frames in videos]
    states = [tracked.init_state() for _ in videos]
    for k in range(10):
        out = tracked.step_batch([frames[k] for frames in videos], states)
        assert all(same(tracks, alone[v][k]) for v, tracks in enumerate(out))


def test_states_that_cannot_be_saved_or_read(tmp_path):
    with pytest.raises(TypeError, match=r"dict\['x'\]: a object cannot be saved"):
        save_state({"x": object()}, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ValueError, match="not a saved tracker state"):
        load_state(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", description=np.array('{"format": "vidperc-state-1", "state": {"type": "os:system"}}'))
    with pytest.raises(ValueError, match="os:system is not known"):
        load_state(tmp_path / "c.npz")
    save_state([1.5, None, "a", {2: torch.arange(3)}, (np.float32(2),)], tmp_path / "d.npz")
    a, b, c, d, e = load_state(tmp_path / "d.npz")
    assert (a, b, c, d[2].tolist(), float(e[0])) == (1.5, None, "a", [0, 1, 2], 2.0)


def test_the_state_of_a_whole_model_is_saved(tmp_path):
    tracked = model(ByteTrack())
    frames = given(walk(20))
    whole = list(tracked.stream(Video.from_frames(frames)))
    state = tracked.init_state()
    for frame in frames[:9]:
        tracked.step(frame, state)
    save_state(state, tmp_path / "state.npz")
    state = load_state(tmp_path / "state.npz")
    assert all(same(tracked.step(frame, state), whole[k]) for k, frame in enumerate(frames[9:], 9))


@pytest.mark.parametrize("seed", range(20))
def test_oc_sort_solves_only_for_contested_pairs(seed):
    """The complete assignment over all pairs is that of the contested block and the pairs that are sure."""
    rng = np.random.default_rng(seed)
    tracker, state = OCSORT(inertia=0.5), OCSORT().init_state()
    low = rng.uniform(0, 400, (20, 2))
    for _ in range(4):
        low = low + rng.normal(0, 3, low.shape)
        tracker.update(detections(np.concatenate((low, low + 60), 1), np.full(20, 0.9)), state)
    found = DetectionArrays.read(detections(np.concatenate((low, low + 60), 1)[:15] + 9, rng.uniform(0.6, 1, 15)), 4)
    tracks = state.tracks
    overlap = iou_matrix(tracks.boxes, found.boxes)
    agreement = direction_agreement(tracks.direction, tracks.boxes, found.boxes)
    r, c = linear_sum_assignment(-(overlap + 0.5 * found.scores * agreement))
    accepted = overlap[r, c] >= 0.3
    touching = touching_pairs(tracks.boxes, found.boxes)
    rows, columns = tracker._assign(tracks, found, tracks.boxes, tracks.boxes, touching)
    assert set(zip(rows, columns)) == set(zip(r[accepted], c[accepted]))
