"""Evaluator: takes the predictions of one video after another, then gives the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from ..structures import Instances
from .formats import Source, read_tracks
from .mot import count_sequence, groups_of
from .rules import Rules
from .scores import MOTCounts, MOTScores, scores_of
from .tracks import Tracks


def paired_frames(
    video: str, predictions: Sequence[Instances], truths: Sequence[Instances | None] | None
) -> Iterator[tuple[int, Instances, Instances]]:
    """Number, prediction and truth of each frame of a video that has a truth.

    Raises:
        ValueError: no truth, or another number of frames.
    """
    if truths is None or len(truths) != len(predictions):
        known = "no" if truths is None else len(truths)
        raise ValueError(f"{video}: {len(predictions)} predictions and {known} frames of truth")
    for index, (predicted, truth) in enumerate(zip(predictions, truths, strict=True)):
        if truth is not None:
            yield index, predicted, truth


class Evaluator(ABC):
    """Scores the predictions of videos against ground truth."""

    @abstractmethod
    def process(self, video: str, predictions: Sequence[Instances]) -> None:
        """Takes the predictions of one whole video, one `Instances` per frame."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """The scores over all videos processed so far."""


class MOTEvaluator(Evaluator):
    """Multi-object tracking: each video is counted when it is processed, its predictions are not kept."""

    def __init__(
        self, ground_truth: Source, rules: Rules | None = None, classes: tuple[str, ...] | None = None
    ) -> None:
        """`ground_truth` as `read_tracks` takes it; `rules` default to those of its layout."""
        self._truth = read_tracks(ground_truth, truth=True)
        self._rules, self._classes = rules, classes
        self._counts: dict[str, dict[str, MOTCounts]] = {}

    def process(self, video: str, predictions: Sequence[Instances]) -> None:
        """Counts one video.

        Raises:
            KeyError: there is no ground truth of this name.
            ValueError: invalid predictions.
        """
        if video not in self._truth:
            raise KeyError(f"no ground truth for video '{video}'; there is {', '.join(self._truth)}")
        tracks = Tracks.from_instances(predictions, video, "predictions")
        self._counts[video] = count_sequence(self._truth[video], tracks, self._rules, self._classes)

    def scores(self) -> MOTScores:
        """Scores of each video processed so far and over all of them.

        Raises:
            ValueError: none was processed.
        """
        return scores_of(self._counts, groups_of(self._truth.values()))

    def evaluate(self) -> dict[str, float]:
        return self.scores().combined
