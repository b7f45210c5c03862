"""Video object detection: COCO's average precision, and AP at IoU 0.5 by how fast the objects move.

The published figures of ImageNet VID are COCO's AP50 (101 recalls). Speed is as in FGFA
(https://arxiv.org/abs/1703.10025, section 5): the mean IoU of an object with itself in the nearby frames.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table

from ..structures import Instances
from .coco import COCOEvaluator
from .evaluators import Evaluator

REACH = 10  # frames before and after that tell how fast an object is
SPEEDS = ("slow", "medium", "fast")
SLOW, FAST = 0.9, 0.7  # slow above the first, fast below the second
RECALLS = np.linspace(0, 1, 101)
ROWS = ("AP50", "AP50_slow", "AP50_medium", "AP50_fast", "AP", "AP75", "AR100")


@dataclass
class VIDScores:
    """Fractions; -1 where there is nothing to score.

    Args:
        values: COCO's twelve numbers and `AP50_slow`, `AP50_medium`, `AP50_fast`.
        per_class: AP50 of each class.
        counts: objects of each speed; those seen in one frame alone have none.
    """

    values: dict[str, float]
    per_class: dict[str, float]
    counts: dict[str, int]

    def table(self) -> Table:
        """The main scores and the classes, in percent."""
        table = Table("score", "value")
        for name in ROWS:
            table.add_row(name, _percent(self.values[name]))
        for name, value in self.per_class.items():
            table.add_row(f"AP50 {name}", _percent(value))
        return table

    def to_json(self, path: str | Path | None = None) -> str:
        """All of it as json text, also written to `path` where given."""
        content = {"scores": self.values, "AP50_per_class": self.per_class, "objects": self.counts}
        text = json.dumps(content, indent=1)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text


class VIDEvaluator(Evaluator):
    """Detections in videos, over all frames and by the speed of the objects.

    For one speed the objects of the others are neither right nor wrong to detect; detections that meet no
    object are wrong for every speed. Truth without ids has no speeds.

    Args:
        classes: names, in the order of labels.
        max_detections: per frame and class, as COCO's.
    """

    def __init__(self, classes: Sequence[str], max_detections: int = 100) -> None:
        self.classes, self.max_detections = tuple(classes), max_detections
        self._coco = COCOEvaluator(classes, max_detections=max_detections)
        # (speed, label) -> by frame: scores, right or wrong of the detections that count
        self._found: dict[tuple[str, int], list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
        self._objects: dict[tuple[str, int], int] = defaultdict(int)

    def process(
        self, video: str, predictions: Sequence[Instances], truths: Sequence[Instances | None] | None = None
    ) -> None:
        """Takes one video's frames, all of them, in order. A frame whose truth is None is not annotated.

        Raises:
            ValueError: no truth, another number of frames, or a field that is missing.
        """
        self._coco.process(video, predictions, truths)
        truths = truths or []
        for predicted, truth, motion in zip(predictions, truths, motion_ious(truths), strict=True):
            if truth is not None:
                self._add_frame(predicted, truth, motion)

    def _add_frame(self, predicted: Instances, truth: Instances, motion: np.ndarray) -> None:
        assert predicted.labels is not None and predicted.scores is not None and truth.labels is not None
        crowd = np.zeros(len(truth), bool) if truth.ignored is None else truth.ignored.cpu().numpy()
        labels, classes = truth.labels.cpu().numpy(), predicted.labels.cpu().numpy()
        scores = predicted.scores.cpu().double().numpy()
        boxes, found = truth.boxes.cpu().double().numpy(), predicted.boxes.cpu().double().numpy()
        speeds = speeds_of(motion)
        for label in np.union1d(labels, classes).tolist():
            own = np.flatnonzero(labels == label)
            rows = np.flatnonzero(classes == label)
            rows = rows[np.argsort(-scores[rows], kind="stable")][: self.max_detections]
            overlaps = _overlaps(found[rows], boxes[own], crowd[own])
            for speed in SPEEDS:
                ignored = crowd[own] | (speeds[own] != speed)
                hits, counts = match(overlaps, ignored, crowd[own])
                self._objects[speed, label] += int((~ignored).sum())
                self._found[speed, label].append((scores[rows][counts], hits[counts]))

    def evaluate(self) -> dict[str, float]:
        """COCO's twelve numbers and AP50 by speed.

        Raises:
            ValueError: nothing was processed.
        """
        return self._coco.evaluate() | {f"AP50_{speed}": self._mean_precision(speed) for speed in SPEEDS}

    def scores(self) -> VIDScores:
        """The same with the classes; raises as `evaluate`."""
        counts = {speed: sum(count for (of, _), count in self._objects.items() if of == speed) for speed in SPEEDS}
        return VIDScores(self.evaluate(), self._coco.per_class(), counts)

    def _mean_precision(self, speed: str) -> float:
        """AP50 over the classes that have objects of this speed, -1 where none has."""
        values = [
            average_precision(self._found[speed, label], count)
            for (of, label), count in sorted(self._objects.items())
            if of == speed and count
        ]
        return float(np.mean(values)) if values else -1.0


def motion_ious(truths: Sequence[Instances | None], reach: int = REACH) -> list[np.ndarray]:
    """By frame (N,): the mean IoU of each object with itself in the frames up to `reach` before and after.

    NaN for objects that are in no other of these frames, or without ids.
    """
    out = [np.full(0 if truth is None else len(truth), math.nan) for truth in truths]
    tracks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for frame, truth in enumerate(truths):
        for row, number in enumerate([] if truth is None or truth.ids is None else truth.ids.tolist()):
            tracks[number].append((frame, row))
    for seen in tracks.values():
        frames = np.array([frame for frame, _ in seen])
        boxes = np.stack([truths[frame].boxes[row].cpu().double().numpy() for frame, row in seen])  # type: ignore[union-attr]
        for place, (frame, row) in enumerate(seen):
            low, high = np.searchsorted(frames, (frame - reach, frame + reach + 1))
            near = np.flatnonzero(frames[low:high] != frame) + low
            if len(near):
                none = np.zeros(len(near), bool)
                out[frame][row] = _overlaps(boxes[place : place + 1], boxes[near], none).mean()
    return out


def speeds_of(motion: np.ndarray) -> np.ndarray:
    """The name of each object's speed by its motion IoU; empty where that is NaN."""
    names = np.where(motion > SLOW, "slow", np.where(motion < FAST, "fast", "medium"))
    return np.where(np.isnan(motion), "", names)


def match(
    overlaps: np.ndarray, ignored: np.ndarray, crowd: np.ndarray, threshold: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Which of P detections, best first, are right (P,), and which count at all (P,): COCO's rule.

    Each takes the free object it overlaps most, one that is ignored only where no other is left; a crowd
    is free for any number.

    Args:
        overlaps: (P, N).
        ignored: (N,) objects that are neither right nor wrong to detect.
        crowd: (N,) of these, the regions of many.
    """
    hits, counts = np.zeros(len(overlaps), bool), np.ones(len(overlaps), bool)
    free = np.ones(overlaps.shape[1], bool)
    for row, values in enumerate(overlaps):
        near = values >= threshold
        for candidates in (near & free & ~ignored, near & ignored & (free | crowd)):
            if candidates.any():
                best = len(values) - 1 - int(np.argmax(np.where(candidates, values, -1.0)[::-1]))  # last of equals
                free[best] = False
                hits[row], counts[row] = not ignored[best], not ignored[best]
                break
    return hits, counts


def average_precision(found: Sequence[tuple[np.ndarray, np.ndarray]], objects: int) -> float:
    """Mean over 101 recalls of the highest precision at that recall or above; 0 where it is not reached.

    Args:
        found: by frame, the scores of detections and whether they are right.
        objects: that there are to find, at least one.
    """
    scores = np.concatenate([part[0] for part in found])
    right = np.concatenate([part[1] for part in found])[np.argsort(-scores, kind="stable")]
    if not len(right):
        return 0.0
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(hits / objects, RECALLS)
    return float(np.append(best, 0.0)[reached].mean())


def _overlaps(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """IoU (P, N) of boxes xyxy; with a crowd, the part of the box that lies in it."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    area, other = ((part[:, 2:] - part[:, :2]).prod(-1) for part in (boxes, others))
    union = np.where(crowd[None], area[:, None], area[:, None] + other[None] - shared)
    return shared / np.maximum(union, 1e-12)


def _percent(value: float) -> str:
    return "-" if value < 0 else f"{100 * value:.2f}"
