"""Tracks: the boxes of one sequence with their identities, ground truth or predictions, as flat arrays."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..structures import Instances


@dataclass(slots=True)
class Tracks:
    """N boxes of one sequence in order of their frames. Optional columns are None where a format lacks them.

    `regions` are areas in which predictions do not count (crowds, DontCare), with ids -1.
    """

    frames: np.ndarray  # (N,) int64, from 0, sorted
    ids: np.ndarray  # (N,) int64, unique within a frame
    boxes: np.ndarray  # (N, 4) float64 xyxy
    labels: np.ndarray | None = None  # (N,) int64 or str, what they mean is the format's
    ignored: np.ndarray | None = None  # (N,) bool, not to be scored
    masks: np.ndarray | None = None  # (N,) object, COCO run lengths
    scores: np.ndarray | None = None  # (N,) float64
    visibilities: np.ndarray | None = None  # (N,) float64 in [0, 1]
    truncations: np.ndarray | None = None  # (N,) KITTI's column
    occlusions: np.ndarray | None = None  # (N,) KITTI's column
    regions: Tracks | None = None
    length: int | None = None  # number of frames of the sequence, where known
    name: str = ""
    source: str = ""  # file or what else to name in errors
    first: int = 0  # number of the first frame in the source, for errors
    layout: str = "instances"  # of the source: 'mot15', 'mot', 'kitti', 'scalabel', 'instances'

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: Any) -> Tracks:
        """The boxes at `index` (a mask or sorted indices); regions and names stay."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        rows = {name: None if values[name] is None else values[name][index] for name in COLUMNS}
        return Tracks(**{**values, **rows})

    @property
    def num_frames(self) -> int:
        """The known length, or up to the last frame with a box."""
        last = int(self.frames[-1]) + 1 if len(self) else 0
        return last if self.length is None else self.length

    def up_to(self, length: int) -> Tracks:
        """The first `length` frames by themselves."""
        regions = None if self.regions is None else self.regions.up_to(length)
        return replace(self[self.frames < length], regions=regions, length=length)

    def sorted(self) -> Tracks:
        """The same in order of the frames; the order within a frame is kept."""
        return self if (np.diff(self.frames) >= 0).all() else self[np.argsort(self.frames, kind="stable")]

    def check(self, length: int | None = None) -> Tracks:
        """Itself when valid. Boxes of negative size overlap nothing; they are counted in a warning.

        Raises:
            ValueError: a box that is not finite, a frame outside the sequence of `length` frames, or an id
                twice in a frame; sequence, frame and id are named.
        """
        where = f"{self.source or 'tracks'}, sequence '{self.name}'"
        finite = np.isfinite(self.boxes).all(1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise ValueError(f"{where}, {self._row(row)}: box {self.boxes[row].tolist()} is not finite")
        inverted = (self.boxes[:, 2:] < self.boxes[:, :2]).any(1)
        if inverted.any():
            row, n = int(np.argmax(inverted)), int(inverted.sum())
            text = f"{where}: {n} boxes of negative size match nothing, first {self._row(row)}"
            warnings.warn(text, stacklevel=3)
        outside = self.frames < 0 if length is None else (self.frames < 0) | (self.frames >= length)
        if outside.any():
            row = int(np.argmax(outside))
            last = "" if length is None else f" to {length - 1 + self.first}"
            raise ValueError(f"{where}, {self._row(row)}: expected frames {self.first}{last}")
        twice = self._first_duplicate()
        if twice is not None:
            raise ValueError(f"{where}, {self._row(twice)}: the id occurs more than once in this frame")
        return self

    def _row(self, row: int) -> str:
        return f"frame {int(self.frames[row]) + self.first}, id {self.ids[row]}"

    def _first_duplicate(self) -> int | None:
        order = np.lexsort((self.ids, self.frames))
        frames, ids = self.frames[order], self.ids[order]
        same = (np.diff(frames) == 0) & (np.diff(ids) == 0)
        return int(order[1:][same].min()) if same.any() else None

    @classmethod
    def from_instances(cls, frames: Sequence[Instances], name: str = "", source: str = "instances") -> Tracks:
        """One `Instances` with ids per frame; `frames[t]` is frame t.

        Raises:
            TypeError: an item is not Instances.
            ValueError: objects without ids, or a field set only in some of the frames.
        """
        for t, item in enumerate(frames):
            if not isinstance(item, Instances):
                got = type(item).__name__
                raise TypeError(f"{source}, sequence '{name}', frame {t}: expected Instances, got {got}")
            if len(item) and item.ids is None:
                raise ValueError(f"{source}, sequence '{name}', frame {t}: {len(item)} objects without ids")
        filled = [item for item in frames if len(item)]
        out = Tracks(
            frames=np.repeat(np.arange(len(frames)), [len(item) for item in frames]),
            ids=_column(filled, "ids", np.int64),
            boxes=_column(filled, "boxes", float).reshape(-1, 4),
            labels=_optional(filled, "labels", np.int64, f"{source}, sequence '{name}'"),
            ignored=_optional(filled, "ignored", bool, f"{source}, sequence '{name}'"),
            length=len(frames),
            name=name,
            source=source,
        )
        return out

    @classmethod
    def from_array(cls, rows: np.ndarray, name: str = "", source: str = "array") -> Tracks:
        """From (N, 6 or more) rows of MOTChallenge: frame from 1, id, x, y, width, height, ...

        Raises:
            ValueError: another shape.
        """
        rows = np.asarray(rows, float)
        if rows.size == 0:
            rows = np.zeros((0, 6))
        if rows.ndim != 2 or rows.shape[1] < 6:
            raise ValueError(f"{source}, sequence '{name}': expected rows frame, id, x, y, w, h, got {rows.shape}")
        boxes = rows[:, 2:6].copy()
        boxes[:, 2:] += boxes[:, :2]
        ids = np.nan_to_num(rows[:, 1]).astype(np.int64)
        frames = np.nan_to_num(rows[:, 0]).astype(np.int64) - 1
        return Tracks(frames, ids, boxes, name=name, source=source, first=1).sorted()


COLUMNS = (
    *("frames", "ids", "boxes", "labels", "ignored", "masks", "scores", "visibilities", "truncations"),
    "occlusions",
)


def _column(filled: Sequence[Instances], name: str, dtype: Any) -> np.ndarray:
    if not filled:
        return np.zeros(0, dtype)
    return np.concatenate([getattr(item, name).detach().cpu().numpy() for item in filled]).astype(dtype)


def _optional(filled: Sequence[Instances], name: str, dtype: Any, where: str) -> np.ndarray | None:
    given = [getattr(item, name) is not None for item in filled]
    if not any(given):
        return None
    if not all(given):
        raise ValueError(f"{where}: '{name}' is set in some frames but not in all")
    return _column(filled, name, dtype)
