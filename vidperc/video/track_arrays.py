"""What trackers compute on: detections in and tracks out, as numpy arrays.

Arrays have the objects along their first axis, but lie in memory with the objects last (Fortran order), so that each
coordinate is contiguous and the inner loops of numpy run over objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..structures import Instances, TrackState

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(slots=True)
class DetectionArrays:
    """The M detections of a frame that have an area. Without scores they count as certain, without labels as 0."""

    boxes: Floats  # (M, 4) xyxy, in Fortran order
    scores: Floats  # (M,)
    labels: Ints  # (M,)
    indices: Ints  # (M,) row in the Instances that were given
    embeddings: Floats | None = None  # (M, D)

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Ints) -> DetectionArrays:
        """The detections at `rows`, in that order."""
        return DetectionArrays(
            at(self.boxes, rows),
            self.scores.take(rows),
            self.labels.take(rows),
            self.indices.take(rows),
            None if self.embeddings is None else self.embeddings.take(rows, 0),
        )

    def above(self, threshold: float) -> DetectionArrays:
        """Those scored above; themselves where all are."""
        chosen = (self.scores > threshold).nonzero()[0]
        return self if len(chosen) == len(self) else self.take(chosen)

    @staticmethod
    def none() -> DetectionArrays:
        """No detections."""
        return DetectionArrays(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))

    @staticmethod
    def read(detections: Instances, update: int) -> DetectionArrays:
        """The detections as arrays; boxes of no area are left out, they can neither match nor be filtered.

        Raises:
            ValueError: boxes that are not finite or inverted, scores that are NaN, fields of different lengths;
                named with the number of the `update` and the row.
        """
        boxes = detections.boxes.numpy(force=True).astype(np.float64, order="F")
        count = len(boxes)
        flat = _check_boxes(boxes, detections, update)
        scores = np.ones(count) if detections.scores is None else _array(detections.scores, np.float64)
        labels = np.zeros(count, np.int64) if detections.labels is None else _array(detections.labels, np.int64)
        embeddings = None if detections.embeddings is None else _array(detections.embeddings, np.float64)
        for name, values in (("scores", scores), ("labels", labels), ("embeddings", embeddings)):
            if values is not None and len(values) != count:
                raise ValueError(f"detections of update {update}: {name} has {len(values)} rows, boxes {count}")
        unknown = np.isnan(scores)
        if np.count_nonzero(unknown):
            row = int(unknown.nonzero()[0][0])
            raise ValueError(f"detections of update {update}: the score of detection {row} is NaN")
        out = DetectionArrays(boxes, scores, labels, np.arange(count), embeddings)
        if flat:
            out = out.take((boxes[:, 2:] > boxes[:, :2]).all(1).nonzero()[0])
        return out


def at(values: NDArray[Any], rows: Ints) -> NDArray[Any]:
    """`values[rows]` of an array in Fortran order, in that order."""
    return values.T.take(rows, -1).T


def filled(count: int, dtype: Any, value: Any) -> NDArray[Any]:
    """`np.full`, several times as fast for few."""
    out = np.empty(count, dtype)
    out.fill(value)
    return out


def _array(tensor: Tensor, dtype: Any) -> NDArray[Any]:
    return tensor.numpy(force=True).astype(dtype, copy=False)


def _check_boxes(boxes: Floats, detections: Instances, update: int) -> bool:
    """Whether some of the boxes have no area."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"detections of update {update}: boxes must be (N, 4), got {boxes.shape}")
    if not len(boxes):
        return False
    size = boxes.T[2:] - boxes.T[:2]
    # NaN and infinite corners fail these comparisons too
    least = np.minimum.reduce(size, axis=None)
    if not (least >= 0.0 and np.maximum.reduce(size, axis=None) < np.inf):
        detections.validate(f"detections of update {update}")
    return bool(least == 0.0)


T = TypeVar("T")


def take_rows(arrays: T, rows: Ints) -> T:
    """A dataclass of arrays over the tracks, at `rows` of each."""
    kind: Any = type(arrays)
    return kind(*[at(getattr(arrays, name), rows) for name in kind.__match_args__])


def join(parts: Sequence[T]) -> T:
    """Dataclasses of arrays over the tracks, one after the other."""
    if len(parts) == 1:
        return parts[0]
    kind: Any = type(parts[0])
    columns = [[getattr(part, name).T for part in parts] for name in kind.__match_args__]
    return kind(*[np.concatenate(values, -1).T for values in columns])


def join_rows(arrays: T, rows: Ints | None, new: T) -> T:
    """`arrays` at `rows` (all where None) followed by `new`, a dataclass of the same kind."""
    return join((arrays if rows is None else take_rows(arrays, rows), new))


def report(
    ids: Ints, boxes: Floats, found: DetectionArrays, columns: Ints, states: Ints | TrackState = TrackState.CONFIRMED
) -> Instances:
    """Tracks seen in this frame as Instances: `boxes` filtered, `columns` their rows in `found`."""
    if isinstance(states, TrackState):
        states = filled(len(ids), np.int64, int(states))
    return Instances(
        boxes=torch.from_numpy(boxes.astype(np.float32, order="C")),
        labels=torch.from_numpy(found.labels.take(columns)),
        scores=torch.from_numpy(found.scores.take(columns).astype(np.float32)),
        ids=torch.from_numpy(ids),
        states=torch.from_numpy(states),
        detection_boxes=torch.from_numpy(at(found.boxes, columns).astype(np.float32, order="C")),
        detection_indices=torch.from_numpy(found.indices.take(columns)),
    )


def describe(ids: Ints, labels: Ints, boxes: Floats, confirmed: Bools, lost: Bools) -> Instances:
    """Tracks whether seen or not, for `Tracker.alive`. A track both confirmed and lost is lost."""
    states = np.where(lost, int(TrackState.LOST), np.where(confirmed, int(TrackState.CONFIRMED), 0))
    return Instances(
        boxes=torch.from_numpy(boxes.astype(np.float32, order="C")),
        labels=torch.from_numpy(labels.copy()),
        ids=torch.from_numpy(ids.copy()),
        states=torch.from_numpy(states.astype(np.int64)),
    )


def no_tracks() -> Instances:
    """The report of a frame without tracks."""
    none = DetectionArrays.none()
    return report(none.indices, none.boxes, none, none.indices)
