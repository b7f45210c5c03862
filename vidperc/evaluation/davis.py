"""DAVIS's J and F of segmented objects (https://www.cv-foundation.org/openaccess/content_cvpr_2016/papers/
Perazzi_A_Benchmark_Dataset_CVPR_2016_paper.pdf, section 4): how well regions and how well contours agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from ..structures import Instances
from ..structures.masks import decode_masks
from .evaluators import Evaluator
from .vis import FrameMasks, MaskTrack, tracks_of

TOLERANCE = 0.008  # of the diagonal, by which contours may be apart


def region_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """J, the IoU of two masks (H, W) bool; 1 when both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def contour_accuracy(predicted: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F, the F-measure of the contours' pixels that have one of the other contour near; 1 when both are empty."""
    reach = math.ceil(tolerance * math.hypot(*truth.shape))
    return _contour_f(contour(predicted), contour(truth), reach)


def _contour_f(a: np.ndarray, b: np.ndarray, reach: int) -> float:
    count_a, count_b = np.count_nonzero(a), np.count_nonzero(b)
    if not count_a or not count_b:
        return float(count_a == count_b)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (x**2 + y**2 <= reach**2).astype(np.uint8)
    precision = np.count_nonzero(a & (cv2.dilate(b.astype(np.uint8), disk) > 0)) / count_a
    recall = np.count_nonzero(b & (cv2.dilate(a.astype(np.uint8), disk) > 0)) / count_b
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask: np.ndarray) -> np.ndarray:
    """Pixels that differ from the one to the right, below, or right below, (H, W) bool."""
    right = np.pad(mask[:, 1:], ((0, 0), (0, 1)), mode="edge")
    below = np.pad(mask[1:], ((0, 1), (0, 0)), mode="edge")
    corner = np.pad(mask[1:, 1:], ((0, 1), (0, 1)), mode="edge")
    out = (mask ^ right) | (mask ^ below) | (mask ^ corner)
    out[-1], out[:, -1] = mask[-1] ^ right[-1], mask[:, -1] ^ below[:, -1]
    out[-1, -1] = False
    return out


@dataclass
class _Object:
    j: float
    f: float


class DavisEvaluator(Evaluator):
    """J, F and their mean over all objects of all videos; each object has the track assigned that fits it best.

    The assignment is one to one and has the highest J & F (as for unsupervised DAVIS). Classes and scores do not
    matter, but at most `most` tracks of a video, those of the highest scores, are looked at.
    """

    def __init__(self, most: int = 20) -> None:
        self.most = most
        self._objects: list[_Object] = []

    def process(  # type: ignore[override]
        self,
        video: str,
        predictions: Sequence[Instances | FrameMasks],
        truths: Sequence[Instances | FrameMasks | None],
    ) -> None:
        """Predictions and truth of a video; frames without truth do not count.

        Raises:
            ValueError: different numbers of frames or sizes, or objects without masks or ids.
        """
        if len(predictions) != len(truths):
            raise ValueError(f"{video}: {len(predictions)} frames predicted, {len(truths)} annotated")
        counted = [t for t, truth in enumerate(truths) if truth is not None]
        found = tracks_of([predictions[t] for t in counted], video)
        found = sorted(_distinct(found), key=lambda track: -track.score)[: self.most]
        wanted = tracks_of([truths[t] for t in counted], video)
        j, f = self._similarities(found, wanted)
        rows, columns = linear_sum_assignment((j + f).T, maximize=True)
        best = dict(zip(rows.tolist(), columns.tolist()))
        for n in range(len(wanted)):
            self._objects.append(_Object(j[best[n], n], f[best[n], n]) if n in best else _Object(0.0, 0.0))

    def _similarities(self, found: list[MaskTrack], wanted: list[MaskTrack]) -> tuple[np.ndarray, np.ndarray]:
        """Means of J and F over the frames, (found, wanted) each."""
        length = len((wanted or found)[0].masks) if wanted or found else 0
        j, f = np.zeros((len(found), len(wanted))), np.zeros((len(found), len(wanted)))
        for t in range(length):
            sizes = [mask["size"] for track in (*wanted, *found) if (mask := track.masks[t]) is not None]
            size = (sizes[0][0], sizes[0][1]) if sizes else (1, 1)
            a, b = (_planes(tracks, t, size) for tracks in (found, wanted))
            reach = math.ceil(TOLERANCE * math.hypot(*size))
            edges_a, edges_b = [contour(mask) for mask in a], [contour(mask) for mask in b]
            for row in range(len(found)):
                for column in range(len(wanted)):
                    j[row, column] += region_similarity(a[row], b[column]) / length
                    f[row, column] += _contour_f(edges_a[row], edges_b[column], reach) / length
        return j, f

    def evaluate(self) -> dict[str, float]:
        """`J`, `F` and `J&F`, means over the objects.

        Raises:
            ValueError: no object was processed.
        """
        if not self._objects:
            raise ValueError("no object was processed")
        j = float(np.mean([one.j for one in self._objects]))
        f = float(np.mean([one.f for one in self._objects]))
        return {"J": j, "F": f, "J&F": (j + f) / 2}


def _distinct(tracks: list[MaskTrack]) -> list[MaskTrack]:
    """Tracks of different masks, the first of equals: an object may be given once for each of several classes."""
    kept: dict[tuple[str | None, ...], MaskTrack] = {}
    for track in sorted(tracks, key=lambda track: -track.score):
        kept.setdefault(tuple(None if mask is None else mask["counts"] for mask in track.masks), track)
    return list(kept.values())


def _planes(tracks: list[MaskTrack], t: int, size: tuple[int, int]) -> list[np.ndarray]:
    empty = np.zeros(size, bool)
    return [empty if (mask := track.masks[t]) is None else decode_masks([mask], size)[0].numpy() for track in tracks]
