"""Instances: the objects of one image, whether ground truth, proposals, detections or tracks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor


class TrackState(IntEnum):
    """The life of a track, as in the `states` of tracked `Instances`."""

    TENTATIVE = 0
    CONFIRMED = 1
    LOST = 2


@dataclass(slots=True)
class Instances:
    """The N objects of one image.

    Every field has the objects along its first axis or is None. `len`, indexing, `to` and `cat`
    act on every field that is set.
    """

    boxes: Tensor  # (N, 4) xyxy, float, in pixels of the image
    labels: Tensor | None = None  # (N,) int64, from 0
    scores: Tensor | None = None  # (N,) in [0, 1]
    masks: Tensor | None = None  # (N, H, W) bool
    ids: Tensor | None = None  # (N,) int64, the same for one object throughout a video
    ignored: Tensor | None = None  # (N,) bool, neither object nor background
    embeddings: Tensor | None = None  # (N, D) appearance
    visibilities: Tensor | None = None  # (N,) in [0, 1], ground truth's visible fraction
    mask_scores: Tensor | None = None  # (N,) where masks have scores of their own (Mask Scoring R-CNN)
    # What a tracker can tell of each track beside its (filtered) box:
    states: Tensor | None = None  # (N,) int64, of TrackState
    detection_boxes: Tensor | None = None  # (N, 4) xyxy, the detection as it came; NaN where there was none
    detection_indices: Tensor | None = None  # (N,) int64, row of the frame's detections; -1 where there was none

    @classmethod
    def empty(cls, device: torch.device | str = "cpu", *, labels: bool = True, scores: bool = True) -> Instances:
        """No objects: `(0, 4)` boxes, with empty labels and scores where asked for."""
        return cls(
            boxes=torch.zeros(0, 4, device=device),
            labels=torch.zeros(0, dtype=torch.int64, device=device) if labels else None,
            scores=torch.zeros(0, device=device) if scores else None,
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def set_fields(self) -> Iterator[tuple[str, Tensor]]:
        """Name and value of each field that is set."""
        for name in FIELDS:
            value = getattr(self, name)
            if value is not None:
                yield name, value

    def __getitem__(self, index: Any) -> Instances:
        """The objects at `index`: an integer (kept as one object), a slice, a mask or indices."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"index {index} of {len(self)} instances")
            index = slice(index, index + 1 or None)
        return Instances(**{name: value[index] for name, value in self.set_fields()})

    def to(self, device: torch.device | str) -> Instances:
        """The same objects on `device`."""
        return Instances(**{name: value.to(device) for name, value in self.set_fields()})

    def replace(self, **changes: Any) -> Instances:
        """A copy with some fields changed; the others are shared."""
        return Instances(**{**dict(self.set_fields()), **changes})

    @staticmethod
    def cat(parts: Sequence[Instances]) -> Instances:
        """The objects of all parts in order. A field must be set in all parts or in none.

        Raises:
            ValueError: no parts, or a field set in only some of them.
        """
        if not parts:
            raise ValueError("Instances.cat needs at least one part")
        out: dict[str, Tensor] = {}
        for name in FIELDS:
            values = [getattr(part, name) for part in parts]
            given = [value for value in values if value is not None]
            if len(given) == len(parts):
                out[name] = torch.cat(given)
            elif given:
                raise ValueError(f"Instances.cat: '{name}' is set in {len(given)} of {len(parts)} parts")
        return Instances(**out)

    def validate(self, name: str = "instances") -> Instances:
        """Itself when shapes agree and boxes are finite and ordered; else an error that names the row.

        Raises:
            ValueError: with `name`, the field, the row and what was expected.
        """
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"{name}: boxes must be (N, 4), got {tuple(self.boxes.shape)}")
        for key, value in self.set_fields():
            if len(value) != len(self.boxes):
                raise ValueError(f"{name}: {key} has {len(value)} rows, boxes {len(self.boxes)}")
        finite = torch.isfinite(self.boxes).all(1)
        if not finite.all():
            row = int((~finite).nonzero()[0])
            raise ValueError(f"{name}: box {row} is not finite: {self.boxes[row].tolist()}")
        ordered = (self.boxes[:, 2:] >= self.boxes[:, :2]).all(1)
        if not ordered.all():
            row = int((~ordered).nonzero()[0])
            raise ValueError(f"{name}: box {row} is inverted (x1 y1 x2 y2 expected): {self.boxes[row].tolist()}")
        return self


FIELDS = tuple(field.name for field in fields(Instances))
