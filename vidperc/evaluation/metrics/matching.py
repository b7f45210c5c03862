"""Overlaps of ground truth and predictions of a whole sequence, and their one-to-one assignment per frame.

Both sides of a sequence are flat arrays sorted by frame. Only overlapping pairs of a frame are kept:

    frame   0 0 1      rows of the ground truth  0 1 2
    frame   0 1 1      rows of the predictions   0 1 2
    Pairs.truth        0   2                     (1, 0) and (2, 2) do not overlap
    Pairs.prediction   0   1
    Pairs.similarity  .8  .6
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

EPS = float(np.finfo(float).eps)
CHUNK = 1 << 18  # pairs that are tested at once: bounds the memory, fits the cache


@dataclass(frozen=True, slots=True)
class Pairs:
    """M overlapping pairs of the same frame, sorted by ground truth row, then by prediction row."""

    truth: np.ndarray  # (M,) int64, row of the ground truth
    prediction: np.ndarray  # (M,) int64, row of the predictions
    similarity: np.ndarray  # (M,) float64 in (0, 1]

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, index: Any) -> Pairs:
        return Pairs(self.truth[index], self.prediction[index], self.similarity[index])

    def subset(self, truth: np.ndarray, prediction: np.ndarray) -> Pairs:
        """The pairs among the rows marked True on both sides, with rows renumbered."""
        kept = self[truth[self.truth] & prediction[self.prediction]]
        truth_rows, prediction_rows = np.cumsum(truth) - 1, np.cumsum(prediction) - 1
        return Pairs(truth_rows[kept.truth], prediction_rows[kept.prediction], kept.similarity)


def _same_frame(frames_a: np.ndarray, frames_b: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows (a, b) of equal frames, all of them, in chunks of about `CHUNK`; both inputs are sorted."""
    first = np.searchsorted(frames_b, frames_a, "left")  # (A,)
    counts = np.searchsorted(frames_b, frames_a, "right") - first  # (A,)
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(CHUNK, total, CHUNK))
    for rows in np.split(np.arange(len(frames_a)), np.unique(cuts)):
        n = counts[rows]
        size = int(n.sum())
        if size:
            a = np.repeat(rows, n)
            b = np.arange(size) + np.repeat(first[rows] - (np.cumsum(n) - n), n)
            yield a, b


def _intersections(
    frames_a: np.ndarray, boxes_a: np.ndarray, frames_b: np.ndarray, boxes_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows a, b and area of every positive intersection of boxes of the same frame."""
    ax1, ay1, ax2, ay2 = np.ascontiguousarray(boxes_a.T)
    bx1, by1, bx2, by2 = np.ascontiguousarray(boxes_b.T)
    rows_a, rows_b, areas = [], [], []
    for a, b in _same_frame(frames_a, frames_b):
        width = np.minimum(ax2[a], bx2[b]) - np.maximum(ax1[a], bx1[b])
        near = np.flatnonzero(width > 0)
        a, b = a[near], b[near]
        height = np.minimum(ay2[a], by2[b]) - np.maximum(ay1[a], by1[b])
        over = height > 0
        rows_a.append(a[over])
        rows_b.append(b[over])
        areas.append(width[near][over] * height[over])
    if not rows_a:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(rows_a), np.concatenate(rows_b), np.concatenate(areas)


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_pairs(
    truth_frames: np.ndarray, truth_boxes: np.ndarray, prediction_frames: np.ndarray, prediction_boxes: np.ndarray
) -> Pairs:
    """Intersection over union of all boxes of the same frame, as overlapping pairs.

    Args: frames (G,) and (P,), sorted; boxes (G, 4) and (P, 4) xyxy float64.
    """
    a, b, intersection = _intersections(truth_frames, truth_boxes, prediction_frames, prediction_boxes)
    union = _areas(truth_boxes)[a] + _areas(prediction_boxes)[b] - intersection
    return Pairs(a, b, intersection / union)


def covered(
    frames: np.ndarray, boxes: np.ndarray, region_frames: np.ndarray, regions: np.ndarray, above: float = 0.5
) -> np.ndarray:
    """(N,) bool: which boxes lie with more than `above` of their area within one region of their frame."""
    a, _, intersection = _intersections(frames, boxes, region_frames, regions)
    out = np.zeros(len(frames), bool)
    out[a[intersection / _areas(boxes)[a] > above + EPS]] = True
    return out


def mask_pairs(
    truth_frames: np.ndarray, truth_masks: Sequence[dict], prediction_frames: np.ndarray, masks: Sequence[dict]
) -> Pairs:
    """Intersection over union of all masks of the same frame. Masks are COCO run lengths, {size, counts}."""
    return _mask_overlaps(truth_frames, truth_masks, prediction_frames, masks, crowd=False)


def masks_covered(
    frames: np.ndarray,
    masks: Sequence[dict],
    region_frames: np.ndarray,
    regions: Sequence[dict],
    above: float = 0.5,
) -> np.ndarray:
    """(N,) bool: which masks lie with more than `above` of their area within one region of their frame."""
    pairs = _mask_overlaps(frames, masks, region_frames, regions, crowd=True)
    out = np.zeros(len(frames), bool)
    out[pairs.truth[pairs.similarity > above + EPS]] = True
    return out


def _mask_overlaps(
    frames_a: np.ndarray, masks_a: Sequence[dict], frames_b: np.ndarray, masks_b: Sequence[dict], crowd: bool
) -> Pairs:
    from pycocotools import mask as coco

    matrices, frames = [], np.intersect1d(frames_a, frames_b)
    for frame in frames:
        rows = slice(*np.searchsorted(frames_a, [frame, frame + 1]))
        columns = slice(*np.searchsorted(frames_b, [frame, frame + 1]))
        b = list(masks_b[columns])
        overlap = np.asarray(coco.iou(list(masks_a[rows]), b, [int(crowd)] * len(b)))  # (A, B)
        matrices.append((rows.start, columns.start, overlap))
    return _from_blocks(matrices)


def dense_pairs(
    truth_frames: np.ndarray, prediction_frames: np.ndarray, similarities: Sequence[np.ndarray], frames: Sequence[int]
) -> Pairs:
    """Pairs from one (G_t, P_t) similarity matrix for each of `frames`, for any similarity in [0, 1].

    Raises:
        ValueError: a matrix of another shape than the frame's objects, or a value outside [0, 1].
    """
    blocks = []
    for frame, matrix in zip(frames, similarities):
        rows = np.searchsorted(truth_frames, [frame, frame + 1]).tolist()
        columns = np.searchsorted(prediction_frames, [frame, frame + 1]).tolist()
        expected = (rows[1] - rows[0], columns[1] - columns[0])
        matrix = np.asarray(matrix, float)
        if matrix.size == 0 and 0 in expected:
            continue
        if matrix.shape != expected:
            raise ValueError(f"frame {frame}: expected a similarity matrix of shape {expected}, got {matrix.shape}")
        if not ((matrix >= -EPS) & (matrix <= 1 + EPS)).all():
            raise ValueError(f"frame {frame}: similarities must lie in [0, 1]")
        blocks.append((rows[0], columns[0], matrix))
    return _from_blocks(blocks)


def _from_blocks(blocks: Sequence[tuple[int, int, np.ndarray]]) -> Pairs:
    parts = []
    for row, column, matrix in blocks:
        a, b = np.nonzero(matrix > 0)
        parts.append((a + row, b + column, matrix[a, b]))
    if not parts:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    a, b, similarity = (np.concatenate(column) for column in zip(*parts))
    return Pairs(a, b, similarity)


@dataclass(frozen=True, slots=True)
class Block:
    """The pairs of one frame in which some object or prediction has several candidates."""

    pairs: slice
    rows: np.ndarray  # (m,) row of each pair in the frame's matrix
    columns: np.ndarray  # (m,) column of each pair
    shape: tuple[int, int]  # objects and predictions in the frame

    def solve(self, score: np.ndarray) -> np.ndarray:
        """(m,) bool: the pairs of the assignment with the largest sum of positive scores (m,)."""
        matrix = np.zeros(self.shape)
        matrix[self.rows, self.columns] = score
        row, column = linear_sum_assignment(matrix, maximize=True)
        chosen = np.full(self.shape[0], -1)
        chosen[row] = column
        return chosen[self.rows] == self.columns


def ambiguous_frames(pairs: Pairs, truth_frames: np.ndarray, prediction_frames: np.ndarray) -> Iterator[Block]:
    """The frames, in order, in which the candidates are not one to one already."""
    per_truth = np.bincount(pairs.truth, minlength=len(truth_frames))
    per_prediction = np.bincount(pairs.prediction, minlength=len(prediction_frames))
    several = (per_truth[pairs.truth] > 1) | (per_prediction[pairs.prediction] > 1)
    frame_of_pair = truth_frames[pairs.truth]
    frames = np.unique(frame_of_pair[several])
    edges = np.concatenate([frames, frames + 1])
    first, end = np.searchsorted(frame_of_pair, edges).reshape(2, -1).tolist()
    truth_first, truth_end = np.searchsorted(truth_frames, edges).reshape(2, -1).tolist()
    prediction_first, prediction_end = np.searchsorted(prediction_frames, edges).reshape(2, -1).tolist()
    for i in range(len(frames)):
        span = slice(first[i], end[i])
        rows, columns = pairs.truth[span] - truth_first[i], pairs.prediction[span] - prediction_first[i]
        yield Block(span, rows, columns, (truth_end[i] - truth_first[i], prediction_end[i] - prediction_first[i]))


def assign(pairs: Pairs, score: np.ndarray, truth_frames: np.ndarray, prediction_frames: np.ndarray) -> np.ndarray:
    """(M,) bool: in every frame the one-to-one assignment with the largest sum of `score` (M,), all positive.

    A frame whose candidates are one to one already needs no optimisation: all of them are taken.
    """
    chosen = np.ones(len(pairs), bool)
    for block in ambiguous_frames(pairs, truth_frames, prediction_frames):
        chosen[block.pairs] = block.solve(score[block.pairs])
    return chosen
