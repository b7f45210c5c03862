"""What every sequence model promises, whatever it predicts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import fiddle as fdl
import numpy as np
import pytest
import torch

import vidperc
from vidperc.image.function import FunctionDetector
from vidperc.image.hog import HogPeopleDetector
from vidperc.models import prepare
from vidperc.sequence import SequenceModel
from vidperc.structures import Frame, Instances, Video
from vidperc.video.bot_sort import BoTSORT
from vidperc.video.byte_track import ByteTrack
from vidperc.video.camera_motion import ECCMotion, SparseFlowMotion
from vidperc.video.compensated import Compensated
from vidperc.video.deep_sort import DeepSORT
from vidperc.video.motion import MotionDetector
from vidperc.video.oc_sort import OCSORT
from vidperc.video.sort import SORT
from vidperc.video.tracking import PerClass, TrackByDetection

SIZE = (96, 128)


def moving_squares(length: int, seed: int) -> np.ndarray:
    """Three squares on noise, each with its own course: (T, H, W, 3)."""
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 60, (*SIZE, 3), dtype=np.uint8)
    starts, steps = rng.integers(5, 60, (3, 2)), rng.integers(-2, 4, (3, 2))
    frames = np.repeat(background[None], length, axis=0)
    for t in range(length):
        for k, (y, x) in enumerate(np.clip(starts + t * steps, 0, 80)):
            frames[t, y : y + 15, x : x + 15] = 120 + 60 * k
    return frames


def bright(frame: Frame) -> Instances:
    """The bounds of each bright level: a detector without memory."""
    grey = frame.array[..., 0]
    boxes = []
    for level in (120, 180, 240):
        rows, columns = np.nonzero(grey == level)
        if len(rows):
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    found = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Instances(found, labels=torch.zeros(len(found), dtype=torch.int64), scores=torch.ones(len(found)))


class Delayed(SequenceModel):
    """A detector that answers two frames late."""

    lookahead = 2

    def init_state(self, video: Video | None = None) -> list[Frame]:
        return []

    def step(self, frame: Frame, state: list[Frame]) -> Instances | None:
        state.append(frame)
        return bright(state[-3]) if len(state) > 2 else None

    def finish(self, state: list[Frame]) -> list[Instances]:
        return [bright(frame) for frame in state[-2:]]


class Middles:
    """The colour in the middle of a box and its surroundings: an appearance."""

    def embed(self, frames: Sequence[Frame], detections: Sequence[Instances]) -> list[torch.Tensor]:
        return [self.look(frame, found.boxes.long()) for frame, found in zip(frames, detections, strict=True)]

    def look(self, frame: Frame, boxes: torch.Tensor) -> torch.Tensor:
        x, y = (boxes[:, 0] + boxes[:, 2]) // 2, (boxes[:, 1] + boxes[:, 3]) // 2
        return torch.stack([frame.image[0, y + k, x + k].float() for k in (-5, 0, 5)], 1)  # (N, 3)


def untrained(name: str) -> SequenceModel:
    torch.manual_seed(0)
    return prepare(fdl.build(vidperc.get_config(name).model))


def video_of(frames: np.ndarray | Iterator[np.ndarray] | Video) -> Video:
    """A video, with something to follow in it."""
    return vidperc.Video(frames, prompt=PROMPT)


MODELS: dict[str, Callable[[], SequenceModel]] = {
    "function": lambda: FunctionDetector(bright),
    "hog": HogPeopleDetector,
    "motion": MotionDetector,
    "delayed": Delayed,
    "sort": lambda: TrackByDetection(FunctionDetector(bright), SORT()),
    "sort_delayed": lambda: TrackByDetection(Delayed(), SORT()),
    "sort_motion": lambda: TrackByDetection(MotionDetector(min_area=0.002), SORT()),
    "sort_camera": lambda: TrackByDetection(FunctionDetector(bright), Compensated(SORT(), ECCMotion())),
    "bytetrack": lambda: TrackByDetection(FunctionDetector(bright), ByteTrack()),
    "ocsort_per_class": lambda: TrackByDetection(FunctionDetector(bright), PerClass(OCSORT())),
    "botsort": lambda: TrackByDetection(FunctionDetector(bright), BoTSORT(camera=SparseFlowMotion(downscale=1))),
    "deepsort": lambda: TrackByDetection(FunctionDetector(bright), DeepSORT(), reid=Middles()),
    "tracktor": lambda: vidperc.load("tracktor"),
    "siamese_rpn": lambda: untrained("tiny_siamese_rpn"),
    "stark_st1": lambda: untrained("tiny_stark_st1"),
    "stark_st2": lambda: untrained("tiny_stark_st2"),
}
PROMPT = [20.0, 30, 60, 70]  # what trackers of single objects follow; others take no notice


@pytest.fixture(params=MODELS, name="model")
def _model(request: pytest.FixtureRequest) -> SequenceModel:
    return MODELS[request.param]().eval()


def assert_same(a: list[Instances], b: list[Instances], tolerance: float = 0.0) -> None:
    assert len(a) == len(b)
    for left, right in zip(a, b, strict=True):
        assert dict(left.set_fields()).keys() == dict(right.set_fields()).keys()
        for name, value in left.set_fields():
            torch.testing.assert_close(value, getattr(right, name), rtol=0, atol=tolerance, equal_nan=True, msg=name)


@pytest.mark.parametrize("length", [1, 2, 3, 9])
def test_one_result_per_frame(model, length):
    results = list(model.stream(video_of(moving_squares(length, 0))))
    assert len(results) == length
    assert all(isinstance(result, Instances) for result in results)


def test_interleaved_videos_do_not_touch_each_other(model):
    videos = [moving_squares(12, 1), moving_squares(12, 2)]
    alone = [list(model.stream(video_of(video))) for video in videos]
    sessions = [vidperc.open_session(model, PROMPT) for _ in videos]
    together: list[list[Instances]] = [[], []]
    for t in range(12):
        for k, session in enumerate(sessions):
            result = session.update(videos[k][t])
            if result is not None:
                together[k].append(result)
    for k, session in enumerate(sessions):
        together[k].extend(session.finish())
        assert_same(together[k], alone[k])


def test_batched_steps_equal_single_ones(model):
    videos = [[Frame.from_array(array, t) for t, array in enumerate(moving_squares(8, seed))] for seed in (3, 4)]
    tolerance = 1e-3 if any(True for _ in model.parameters()) else 0.0  # a network's sums depend on the batch
    with model.inference():
        singles, pairs = ([model.init_state(video_of(moving_squares(1, 0))) for _ in videos] for _ in range(2))
        for t in range(8):
            frames = [video[t] for video in videos]
            one_by_one = [model.step(frame, state) for frame, state in zip(frames, singles, strict=True)]
            batched = model.step_batch(frames, pairs)
            assert [r is None for r in one_by_one] == [r is None for r in batched]
            assert_same([r for r in one_by_one if r is not None], [r for r in batched if r is not None], tolerance)


def test_a_slice_is_a_video(model):
    array = moving_squares(12, 5)
    part = video_of(Video.from_frames(array)[3:9])
    assert_same(list(model.stream(part)), list(model.stream(video_of(array[3:9]))))


def test_a_live_iterator_works(model):
    array = moving_squares(8, 6)
    live = video_of(iter(array))
    assert live.is_live
    assert_same(list(model.stream(live)), list(model.stream(video_of(array))))


def test_given_numbering_and_times_do_not_matter(model):
    """Frames that start at number 100 give what they give from 0: a model counts in its state."""
    array = moving_squares(6, 7)
    late = [Frame.from_array(picture, 100 + t, time=3.0 + t / 10) for t, picture in enumerate(array)]
    session = vidperc.open_session(model, PROMPT)
    results = [session.update(frame) for frame in late]
    results = [result for result in results if result is not None] + session.finish()
    assert_same(results, list(model.stream(video_of(array))))


def test_tf32_is_refused_without_an_nvidia_gpu():
    with pytest.raises(ValueError, match="'tf32' is one of NVIDIA GPUs, not of device 'cpu'"):
        vidperc.load("tiny_det", precision="tf32")
