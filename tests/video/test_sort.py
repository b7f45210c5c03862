"""SORT on scenes small enough to follow by hand, and its published table."""

import numpy as np
import pytest
import torch

from vidperc.structures import Frame, Instances, TrackState, Video
from vidperc.video.sort import SORT
from vidperc.video.tracking import GivenDetections, TrackByDetection

# FP, FN, id switches, MOTA of the SORT repository's table with the detections of its paper
PUBLISHED = {
    "TUD-Campus": (15, 113, 6, 62.7),
    "ETH-Sunnyday": (319, 418, 22, 59.1),
    "KITTI-17": (38, 225, 9, 60.2),
}


def at(*corners, size=40.0):
    """Detections: squares at the given x."""
    boxes = torch.tensor([[x, 10.0, x + size, 10.0 + size] for x in corners]).reshape(-1, 4)
    return Instances(boxes=boxes, scores=torch.full((len(boxes),), 0.9))


def run(tracker, frames):
    state = tracker.init_state()
    return [tracker.update(detections, state) for detections in frames], state


def test_one_object_keeps_its_id_and_the_report_is_complete():
    out, _ = run(SORT(), [at(100 + 3 * k) for k in range(8)])
    assert [tracks.ids.tolist() for tracks in out] == [[1]] * 8
    last = out[-1]
    assert last.states.tolist() == [TrackState.CONFIRMED]
    assert last.detection_indices.tolist() == [0]
    assert last.detection_boxes.tolist() == [[121, 10, 161, 50]]
    assert torch.allclose(last.boxes, last.detection_boxes, atol=1.0)
    assert last.scores.tolist() == pytest.approx([0.9])
    assert last.labels.tolist() == [0]


def test_a_late_object_is_reported_after_min_hits():
    frames = [at(100)] * 5 + [at(100, 400)] * 5
    out, _ = run(SORT(min_hits=3), frames)
    assert [len(tracks) for tracks in out] == [1] * 8 + [2] * 2


def test_a_missing_object_ends_after_max_age():
    gap = at()
    out, state = run(SORT(max_age=1), [at(100)] * 5 + [gap] + [at(100)])
    assert len(state.tracks) == 1
    assert out[6].ids.tolist() == []  # the streak starts again
    _, state = run(SORT(max_age=1), [at(100)] * 5 + [gap] * 2)
    assert len(state.tracks) == 0
    _, state = run(SORT(max_age=3), [at(100)] * 5 + [gap] * 3)
    assert len(state.tracks) == 1


def test_time_steps_are_what_counts():
    """Half of the frames with twice the step give the same motion and the same ages."""
    tracker = SORT(max_age=2)
    state = tracker.init_state()
    for k in range(6):
        tracks = tracker.update(at(100 + 10 * k), state, dt=2.0)
    assert tracks.ids.tolist() == [1]
    velocity = state.tracks.filter[0, 0, 1]
    assert velocity == pytest.approx(5.0, rel=0.05)
    tracker.update(at(), state, dt=3.0)
    assert len(state.tracks) == 0


def test_detection_indices_point_at_the_input():
    frames = [at(100, 300, 500), at(500, 100, 300), at(300, 500, 100)]
    out, _ = run(SORT(), frames)
    for tracks, detections in zip(out, frames):
        assert torch.equal(detections.boxes[tracks.detection_indices], tracks.detection_boxes)
    assert sorted(out[0].ids.tolist()) == sorted(out[2].ids.tolist())


def test_many_videos_at_once():
    tracker = SORT()
    one, other = [at(100 + k) for k in range(6)], [at(50 + 4 * k, 300) for k in range(6)]
    alone = run(tracker, one)[0], run(tracker, other)[0]
    states = tracker.init_state(), tracker.init_state()
    for k in range(6):
        for which, frames in enumerate((one, other)):
            tracks = tracker.update(frames[k], states[which])
            assert torch.equal(tracks.boxes, alone[which][k].boxes)
            assert torch.equal(tracks.ids, alone[which][k].ids)


def test_alive_tells_of_lost_and_tentative_tracks():
    tracker = SORT()
    state = tracker.init_state()
    for _ in range(5):
        tracker.update(at(100, 300), state)
    tracker.update(at(100, 600), state)
    alive = tracker.alive(state)
    assert dict(zip(alive.ids.tolist(), alive.states.tolist())) == {
        1: TrackState.CONFIRMED,
        2: TrackState.LOST,
        3: TrackState.TENTATIVE,
    }


def read_rows(path):
    return np.loadtxt(path, delimiter=",", ndmin=2)


def sequence(rows, length):
    """Detections per frame from MOTChallenge rows, frames numbered from 1."""
    boxes = rows[:, 2:6].copy()
    boxes[:, 2:] += boxes[:, :2]
    for number in range(1, length + 1):
        here = rows[:, 0] == number
        yield Instances(
            boxes=torch.tensor(boxes[here], dtype=torch.float32),
            scores=torch.tensor(rows[here, 6], dtype=torch.float32),
        )


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_table(name, data_root, monkeypatch):
    if not hasattr(np, "asfarray"):
        monkeypatch.setattr(np, "asfarray", lambda a, dtype=float: np.asarray(a, dtype), raising=False)
    motmetrics = pytest.importorskip("motmetrics")
    folder = data_root / "mot" / "MOT15" / "train" / name
    truth = read_rows(folder / "gt" / "gt.txt")
    truth = truth[truth[:, 6] != 0]
    length = int(truth[:, 0].max())
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    tracker = SORT(max_age=1, min_hits=3, iou_threshold=0.3)
    out, _ = run(tracker, sequence(read_rows(folder / "det" / "det.txt"), length))
    for number, tracks in enumerate(out, 1):
        objects = truth[truth[:, 0] == number]
        boxes = tracks.boxes.double().numpy()
        boxes = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1)
        distances = motmetrics.distances.iou_matrix(objects[:, 2:6], boxes, max_iou=0.5)
        accumulator.update(objects[:, 1].astype(int), tracks.ids.numpy(), distances)
    names = ["num_false_positives", "num_misses", "num_switches", "mota"]
    found = motmetrics.metrics.create().compute(accumulator, metrics=names).iloc[0]
    false_positives, misses, switches, mota = PUBLISHED[name]
    assert found["num_false_positives"] == false_positives
    assert found["num_misses"] == misses
    assert abs(found["num_switches"] - switches) <= 2
    assert 100 * found["mota"] == pytest.approx(mota, abs=0.1)


def test_as_a_sequence_model():
    model = TrackByDetection(GivenDetections(), SORT())
    image = torch.zeros(3, 60, 400, dtype=torch.uint8)
    frames = [Frame(image, k, detections=at(100 + k, 300)) for k in range(4)]
    out = list(model.stream(Video.from_frames(frames)))
    assert [tracks.ids.tolist() for tracks in out] == [[1, 2]] * 4
