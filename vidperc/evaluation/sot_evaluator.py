"""Single-object tracking scored in one pass: the protocol and its evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from ..structures import Frame, Instances, Video
from .evaluators import Evaluator
from .sot import SOTTruth, evaluate_ope


class Streams(Protocol):
    """What follows the prompt of a video."""

    def stream_frames(self, video: Video) -> Iterator[tuple[Frame, Instances]]:
        """Each frame with its prediction."""
        ...


def one_pass(model: Streams, video: Video) -> Iterator[tuple[Instances | None, Instances]]:
    """Start on the first object of the first frame's truth: (truth of that object, prediction) of each frame.

    With ids the one of the smallest id is followed, so that it is the same in whatever order they are.

    Raises:
        ValueError: the first frame has no object.
    """
    first = video.frame(0).instances
    row, identity = target_of(first, video.name)
    assert first is not None
    prompted = Video(video.source, prompt=first.boxes[row])
    for frame, predicted in model.stream_frames(prompted):
        yield None if frame.instances is None else only(frame.instances, identity), predicted


def target_of(first: Instances | None, name: str) -> tuple[int, int | None]:
    """Row and id of the object to follow among those of the first frame of video `name`; see `one_pass`."""
    rows = [] if first is None else _counted(first)
    if first is None or not rows:
        raise ValueError(f"{name}: the first frame has no object to follow")
    row = rows[0] if first.ids is None else min(rows, key=lambda r: int(first.ids[r]))  # type: ignore[index]
    return row, None if first.ids is None else int(first.ids[row])


def _counted(objects: Instances) -> list[int]:
    return [row for row in range(len(objects)) if objects.ignored is None or not bool(objects.ignored[row])]


def only(objects: Instances, identity: int | None) -> Instances:
    """The object with an id, if it is there; without ids the first one."""
    if identity is None or objects.ids is None:
        return objects[: min(len(objects), 1)]
    return objects[objects.ids == identity]


class SOTEvaluator(Evaluator):
    """Success, precision and normalised precision over all videos.

    Frames without truth do not count; those whose truth is ignored or without the object are misses.
    """

    def __init__(self) -> None:
        self.truth: dict[str, SOTTruth] = {}
        self.predictions: dict[str, np.ndarray] = {}

    def process(self, video: str, predictions: Sequence[Instances], truths: Sequence[Instances | None]) -> None:
        """Take in one video: of each frame the first object of the prediction and of the truth."""
        self.truth[video] = SOTTruth.of_frames(truths)
        self.predictions[video] = torch.cat([result.boxes[:1] for result in predictions]).double().cpu().numpy()

    def evaluate(self) -> dict[str, float]:
        """The scores by name."""
        return evaluate_ope(self.truth, self.predictions).as_dict()
