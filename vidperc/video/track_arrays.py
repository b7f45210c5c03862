"""What trackers compute on: detections in and tracks out, as numpy arrays over the tensors' memory."""

from __future__ import annotations

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

    boxes: Floats  # (M, 4) xyxy
    scores: Floats  # (M,)
    labels: Ints  # (M,)
    indices: Ints  # (M,) row in the Instances that were given
    embeddings: Floats | None = None  # (M, D)

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, rows: Ints) -> DetectionArrays:
        """The detections at `rows`, in that order."""
        return DetectionArrays(
            self.boxes.take(rows, 0),
            self.scores.take(rows),
            self.labels.take(rows),
            self.indices.take(rows),
            None if self.embeddings is None else self.embeddings.take(rows, 0),
        )

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
        boxes = _array(detections.boxes, np.float64)
        count = len(boxes)
        flat = _check_boxes(boxes, detections, update)
        scores = np.ones(count) if detections.scores is None else _array(detections.scores, np.float64)
        labels = np.zeros(count, np.int64) if detections.labels is None else _array(detections.labels, np.int64)
        embeddings = None if detections.embeddings is None else _array(detections.embeddings, np.float64)
        for name, values in (("scores", scores), ("labels", labels), ("embeddings", embeddings)):
            if values is not None and len(values) != count:
                raise ValueError(f"detections of update {update}: {name} has {len(values)} rows, boxes {count}")
        if count and np.isnan(np.add.reduce(scores)):
            row = int(np.isnan(scores).nonzero()[0][0])
            raise ValueError(f"detections of update {update}: the score of detection {row} is NaN")
        out = DetectionArrays(boxes, scores, labels, np.arange(count), embeddings)
        if flat:
            out = out.take((boxes[:, 2:] > boxes[:, :2]).all(1).nonzero()[0])
        return out


def _array(tensor: Tensor, dtype: Any) -> NDArray[Any]:
    return tensor.detach().cpu().numpy().astype(dtype, copy=False)


def _check_boxes(boxes: Floats, detections: Instances, update: int) -> bool:
    """Whether some of the boxes have no area."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"detections of update {update}: boxes must be (N, 4), got {boxes.shape}")
    if not len(boxes):
        return False
    size = boxes[:, 2:] - boxes[:, :2]
    # NaN and infinite corners fail these comparisons too
    least = np.minimum.reduce(size, axis=None)
    if not (least >= 0.0 and np.maximum.reduce(size, axis=None) < np.inf):
        detections.validate(f"detections of update {update}")
    return bool(least == 0.0)


T = TypeVar("T")


def take_rows(arrays: T, rows: Ints) -> T:
    """A dataclass of arrays over the tracks, at `rows` of each."""
    kind: Any = type(arrays)
    return kind(*[getattr(arrays, name).take(rows, 0) for name in kind.__match_args__])


def join_rows(arrays: T, rows: Ints | None, new: T) -> T:
    """`arrays` at `rows` (all where None) followed by `new`, a dataclass of the same kind."""
    kind: Any = type(arrays)
    values = [getattr(arrays, name) for name in kind.__match_args__]
    if rows is not None:
        values = [value.take(rows, 0) for value in values]
    return kind(
        *[np.concatenate((value, getattr(new, name))) for value, name in zip(values, kind.__match_args__, strict=True)]
    )


def report(
    ids: Ints, boxes: Floats, found: DetectionArrays, columns: Ints, states: Ints | TrackState = TrackState.CONFIRMED
) -> Instances:
    """Tracks seen in this frame as Instances: `boxes` filtered, `columns` their rows in `found`."""
    if isinstance(states, TrackState):
        states = np.full(len(ids), int(states))
    return Instances(
        boxes=torch.from_numpy(boxes.astype(np.float32)),
        labels=torch.from_numpy(found.labels.take(columns)),
        scores=torch.from_numpy(found.scores.take(columns).astype(np.float32)),
        ids=torch.from_numpy(ids),
        states=torch.from_numpy(states),
        detection_boxes=torch.from_numpy(found.boxes.take(columns, 0).astype(np.float32)),
        detection_indices=torch.from_numpy(found.indices.take(columns)),
    )


def describe(ids: Ints, labels: Ints, boxes: Floats, confirmed: Bools, lost: Bools) -> Instances:
    """Tracks whether seen or not, for `Tracker.alive`. A track both confirmed and lost is lost."""
    states = np.where(lost, int(TrackState.LOST), np.where(confirmed, int(TrackState.CONFIRMED), 0))
    return Instances(
        boxes=torch.from_numpy(boxes.astype(np.float32)),
        labels=torch.from_numpy(labels.copy()),
        ids=torch.from_numpy(ids.copy()),
        states=torch.from_numpy(states.astype(np.int64)),
    )


def no_tracks() -> Instances:
    """The report of a frame without tracks."""
    none = DetectionArrays.none()
    return report(none.indices, none.boxes, none, none.indices)
