"""Tracktor's rules on networks that are functions, and the model around a small detector."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch

import vidperc
from vidperc.image.preprocess import Preprocessor
from vidperc.structures import Frame, Instances
from vidperc.video.camera_motion import CameraMotionState, SparseFlowMotion
from vidperc.video.tracker_state import load_state, save_state
from vidperc.video.tracktor import TracktorTracker
from vidperc.video.tracktor_model import PublicTracktor, Tracktor, UnscaledECCMotion


class Networks:
    """A detector that moves any box onto the nearest object; objects look like their number."""

    def __init__(self, objects, scores=None, looks=None):
        self.objects = np.asarray(objects, float).reshape(-1, 4)
        self.scores = np.full(len(self.objects), 0.9) if scores is None else np.asarray(scores)
        self.looks = looks

    def nearest(self, boxes):
        distance = np.abs(np.asarray(boxes)[:, None] - self.objects[None]).max(2)
        return distance.argmin(1), distance.min(1)

    def regress(self, boxes, labels):
        if not len(self.objects):
            return boxes, np.full(len(boxes), 0.1)
        nearest, distance = self.nearest(boxes)
        return self.objects[nearest], np.where(distance < 40, self.scores[nearest], 0.1)

    def embed(self, boxes):
        if self.looks is not None and not len(self.objects):
            return np.zeros((len(boxes), 2))
        return None if self.looks is None else np.asarray(self.looks, float)[self.nearest(boxes)[0]].reshape(-1, 2)


def at(*x):
    return [[a, 10.0, a + 50, 110.0] for a in x]


def found(boxes, score=0.9):
    boxes = torch.tensor(boxes).reshape(-1, 4)
    return Instances(boxes=boxes, scores=torch.full((len(boxes),), score), labels=torch.zeros(len(boxes)).long())


def test_tracks_follow_their_object_without_detections():
    tracker = TracktorTracker()
    state = tracker.init_state()
    tracker.update(found(at(100.0)), state, Networks(at(100.0)))
    for k in range(1, 6):
        tracks = tracker.update(found([]), state, Networks(at(100.0 + 9 * k)))
        assert tracks.ids.tolist() == [1]
        assert tracks.boxes.tolist() == at(100.0 + 9 * k)
        assert tracks.detection_indices.tolist() == [-1]
        assert torch.isnan(tracks.detection_boxes).all()


def test_a_detection_on_a_track_starts_none():
    tracker = TracktorTracker()
    state = tracker.init_state()
    tracker.update(found(at(100.0)), state, Networks(at(100.0)))
    tracks = tracker.update(found(at(100.0, 300.0)), state, Networks(at(100.0, 300.0)))
    assert tracks.ids.tolist() == [1, 2]
    assert tracks.detection_indices.tolist() == [-1, 1]


def test_of_two_tracks_on_one_object_the_better_stays():
    tracker = TracktorTracker()
    state = tracker.init_state()
    tracker.update(found(at(100.0, 140.0)), state, Networks(at(100.0, 140.0)))
    tracks = tracker.update(found([]), state, Networks(at(120.0)))
    assert len(tracks) == 1


@pytest.mark.parametrize(("look", "expected"), [([0.0, 0.0], 1), ([9.0, 0.0], 2)])
def test_lost_tracks_are_revived_by_their_looks(look, expected):
    tracker = TracktorTracker()
    state = tracker.init_state()
    tracker.update(found(at(100.0)), state, Networks(at(100.0), looks=[[0, 0]]))
    for _ in range(4):
        assert len(tracker.update(found([]), state, Networks([], looks=[]))) == 0
    tracks = tracker.update(found(at(110.0)), state, Networks(at(110.0), looks=[look]))
    assert tracks.ids.tolist() == [expected]


def test_lost_tracks_end():
    tracker = TracktorTracker(max_age=3)
    state = tracker.init_state()
    tracker.update(found(at(100.0)), state, Networks(at(100.0)))
    for _ in range(4):
        tracker.update(found([]), state, Networks([]))
    assert len(tracker.alive(state)) == 0
    assert state.galleries.free.all()


def test_the_camera_and_the_motion_move_boxes_first():
    """An object jumps 60 pixels: out of reach, unless the camera's motion or its own is known."""
    pan = np.array([[1.0, 0, 60], [0, 1, 0]])
    for turned, expected in ((False, 2), (True, 1)):
        tracker = TracktorTracker()
        state = tracker.init_state()
        tracker.update(found(at(100.0)), state, Networks(at(100.0)))
        if turned:
            tracker.warp(state, pan)
        tracks = tracker.update(found(at(160.0)), state, Networks(at(160.0)))
        assert tracks.ids.tolist() == [expected]
    tracker = TracktorTracker(linear_motion=True)
    state = tracker.init_state()
    tracker.update(found(at(0.0)), state, Networks(at(0.0)))
    for k in range(1, 9):
        tracks = tracker.update(found([]), state, Networks(at(15.0 * k)))
    assert tracks.ids.tolist() == [1]
    missing = tracker.update(found([]), state, Networks([]))
    assert len(missing) == 0
    assert tracker.alive(state).boxes[0, 0] == pytest.approx(135.0, abs=1e-3)


def test_the_course_grows_with_the_picture():
    """An object runs by 15 pixels a frame; the camera zooms in, and it runs by 30."""
    tracker = TracktorTracker(linear_motion=True)
    state = tracker.init_state()
    for k in range(4):
        tracker.update(found(at(15.0 * k)) if k == 0 else found([]), state, Networks(at(15.0 * k)))
    tracker.update(found([]), state, Networks([]))
    lost = tracker.alive(state).boxes
    tracker.warp(state, np.array([[2.0, 0, 0], [0, 2, 0]]))
    tracker.update(found([]), state, Networks([]))
    expected = 2 * lost + torch.tensor([30.0, 0, 30, 0])
    torch.testing.assert_close(tracker.alive(state).boxes, expected, atol=1e-3, rtol=0)


def test_appearances_of_another_size():
    tracker = TracktorTracker()
    state = tracker.init_state()
    tracker.update(found(at(100.0)), state, Networks(at(100.0), looks=[[0, 0]]))
    other = Networks(at(100.0, 300.0))
    other.embed = lambda boxes: np.zeros((len(boxes), 3))
    with pytest.raises(ValueError, match=r"update 1: embeddings \(1, 3\), expected \(M, 2\)"):
        tracker.update(found(at(100.0, 300.0)), state, other)


@pytest.mark.parametrize("unknown", ["track", "detection"])
def test_an_unknown_appearance_revives_nothing(unknown):
    look, later = (np.nan, 0.0) if unknown == "track" else (0.0, np.nan)
    tracker = TracktorTracker()
    state = tracker.init_state()
    tracker.update(found(at(100.0)), state, Networks(at(100.0), looks=[[look, 0]]))
    tracker.update(found([]), state, Networks([], looks=[]))
    tracks = tracker.update(found(at(100.0)), state, Networks(at(100.0), looks=[[later, 0]]))
    assert tracks.ids.tolist() == [2]


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    model = vidperc.load("faster_rcnn_r50_fpn_4e_mot17_half", test_scale=(128, 64))
    model.rpn.select = dataclasses.replace(model.rpn.select, post_nms=30)
    return model


def frames(count):
    texture = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return [Frame.from_array(np.roll(texture, 2 * k, 1), k) for k in range(count)]


def test_regression_is_the_detectors_second_stage(detector):
    """The second stage, asked about boxes, gives what `detect` gives from the same boxes as proposals."""
    from vidperc.video.tracktor_model import DetectorNetworks

    pictures = frames(2)
    boxes = np.array([[10.0, 10, 60, 80], [50, 20, 120, 90]])
    with detector.inference():
        images = detector.preprocessor([frame.image for frame in pictures])
        features = detector.extract_features(images)
        networks = DetectorNetworks(detector, features, images, 1, pictures[1], None)
        moved, scores = networks.regress(boxes, np.zeros(2, np.int64))
        scale = torch.tensor([*images.scales[1]] * 2)
        regions = [Instances(torch.zeros(0, 4)), Instances(torch.from_numpy(boxes).float() * scale)]
        outputs = detector.roi_head.box_head(detector.roi_head.roi_features(features, regions))
    expected = detector.roi_head.coder.decode(regions[1].boxes, outputs.codes, images.sizes[1]) / scale
    assert np.allclose(moved, expected.numpy(), atol=1e-3)
    assert np.allclose(scores, outputs.logits.softmax(1)[:, 0].numpy(), atol=1e-6)


@pytest.mark.parametrize("kind", [Tracktor, PublicTracktor])
def test_the_model_streams_batches_and_saves(detector, kind, tmp_path):
    """An untrained detector finds something nearly everywhere; here it is only followed."""
    tracker = TracktorTracker(score_threshold=0.3, regression_threshold=0.3)
    model = kind(detector=detector, tracker=tracker, camera=SparseFlowMotion(downscale=1))
    pictures = frames(2)
    for frame in pictures:
        frame.detections = found([[10.0, 10, 60, 80], [80, 20, 130, 90]])
    with model.inference():
        states = [model.init_state(), model.init_state()]
        alone = [model.step(frame, states[0]) for frame in pictures]
        first = model.step_batch([pictures[0]] * 2, [states[1], model.init_state()])
        save_state(states[1], tmp_path / "state.npz")
        state = load_state(tmp_path / "state.npz")
        rest = [model.step(frame, state) for frame in pictures[1:]]
    for a, b in zip(alone, [first[0], *rest]):
        assert torch.isfinite(a.boxes).all()
        assert a.ids.tolist() == b.ids.tolist()
        assert torch.allclose(a.boxes, b.boxes, atol=1e-2)
    assert len(alone[0]) > 0


def test_unscaled_camera_motion_is_in_pixels_of_the_detectors_picture():
    """The scene moves by (8, 4) pixels of the frame, which is shown to the detector at half its size."""
    coarse = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    scene = cv2.resize(coarse, (224, 144), interpolation=cv2.INTER_CUBIC)
    motion = UnscaledECCMotion(Preprocessor(test_scale=(96, 64)))
    state = CameraMotionState()
    first = motion.estimate(Frame.from_array(scene[8:136, 16:208].copy()), state)
    warp = motion.estimate(Frame.from_array(scene[4:132, 8:200].copy(), 1), state)
    np.testing.assert_array_equal(first, [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(warp, [[1, 0, 4], [0, 1, 2]], atol=0.1)
