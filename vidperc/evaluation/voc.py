"""PASCAL VOC's mean average precision (Everingham et al. 2010, section 4.2; the development kit's VOCevaldet).

A detection is right when the object of its class that it overlaps most has an IoU of at least 0.5 and no
better detection took it; difficult objects are neither right nor wrong to find.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..structures import Instances
from .evaluators import Evaluator, paired_frames


class VOCEvaluator(Evaluator):
    """Mean of the classes' average precision at an IoU of 0.5, and that of each class; fractions.

    Args:
        classes: names, in the order of labels.
        eleven_points: precision at recalls 0, 0.1 ... 1, as up to VOC2007; else the whole area under the curve.
        threshold: the IoU.
    """

    def __init__(self, classes: Sequence[str], eleven_points: bool = False, threshold: float = 0.5) -> None:
        self.classes, self.eleven_points, self.threshold = tuple(classes), eleven_points, threshold
        self._objects = np.zeros(len(self.classes), int)  # that count
        self._found: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in self.classes]  # scores, right

    def process(
        self, video: str, predictions: Sequence[Instances], truths: Sequence[Instances | None] | None = None
    ) -> None:
        """Takes one video's frames, most often one; a frame whose truth is None does not count.

        Raises:
            ValueError: no truth, another number of frames, or a field that is missing.
        """
        for _, predicted, truth in paired_frames(video, predictions, truths):
            if predicted.labels is None or predicted.scores is None or truth.labels is None:
                raise ValueError(f"{video}: labels or scores are missing")
            for label in range(len(self.classes)):
                self._add(label, predicted[predicted.labels == label], truth[truth.labels == label])

    def _add(self, label: int, predicted: Instances, truth: Instances) -> None:
        difficult = np.zeros(len(truth), bool) if truth.ignored is None else truth.ignored.cpu().numpy()
        self._objects[label] += int((~difficult).sum())
        assert predicted.scores is not None
        scores = predicted.scores.cpu().double().numpy()
        order = np.argsort(-scores, kind="stable")
        overlaps = _ious(predicted.boxes.cpu().double().numpy()[order], truth.boxes.cpu().double().numpy())
        right, counts = match(overlaps, difficult, self.threshold)
        self._found[label].append((scores[order][counts], right[counts]))

    def evaluate(self) -> dict[str, float]:
        """`mAP` and `AP NAME` of each class that has objects.

        Raises:
            ValueError: no annotated object was processed.
        """
        if not self._objects.any():
            raise ValueError("VOC evaluation: no annotated object was processed")
        scores = {
            f"AP {name}": self._average_precision(label)
            for label, name in enumerate(self.classes)
            if self._objects[label]
        }
        return {"mAP": float(np.mean(list(scores.values()))), **scores}

    def _average_precision(self, label: int) -> float:
        scores = np.concatenate([part[0] for part in self._found[label]])
        right = np.concatenate([part[1] for part in self._found[label]])[np.argsort(-scores, kind="stable")]
        hits = np.cumsum(right)
        recall, precision = hits / self._objects[label], hits / np.arange(1, len(hits) + 1)
        best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)  # at this recall or above
        if self.eleven_points:
            return float(best[np.searchsorted(recall, np.linspace(0, 1, 11) - 1e-12)].mean())
        return float((np.diff(recall, prepend=0.0) * best[:-1]).sum())


def match(overlaps: np.ndarray, difficult: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of P detections, best first, are right (P,), and which count at all (P,).

    Args:
        overlaps: (P, N) with the objects of the class.
        difficult: (N,) objects that do not count.
    """
    if overlaps.shape[1] == 0:
        return np.zeros(len(overlaps), bool), np.ones(len(overlaps), bool)
    nearest = overlaps.argmax(1)
    near = overlaps.max(1) >= threshold
    first = np.zeros(len(overlaps), bool)  # the best detection of its object
    candidates = np.flatnonzero(near)
    first[candidates[np.unique(nearest[candidates], return_index=True)[1]]] = True
    return first & ~difficult[nearest], ~(near & difficult[nearest])


def _ious(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU (P, N) of boxes xyxy."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    area, other = ((part[:, 2:] - part[:, :2]).prod(-1) for part in (boxes, others))
    return shared / np.maximum(area[:, None] + other[None] - shared, 1e-12)
