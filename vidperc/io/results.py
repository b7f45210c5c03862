"""MOTChallenge text files: ground truth, public detections and results, read and written.

A row is `frame, id, x, y, width, height, conf, class, visibility`. Frames are numbered from 1 in the
file and from 0 everywhere in this library. Boxes are taken as they are, without moving the corner
by a pixel. In ground truth `conf` 0 marks a row that does not count; results and detections hold the
score there. Classes are numbered from 1 in the file and from 0 as labels; -1 stands for none. MOT15 has
3D coordinates (-1 -1 -1 where unknown) in place of class and visibility; they are not read as such.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..structures import Instances
from .errors import ResultError

FIELDS = ("frame", "id", "x", "y", "width", "height", "conf", "class", "visibility")


class ResultWarning(UserWarning):
    """Rows of a result file that were left out, with their number."""


@dataclass(slots=True)
class MotTable:
    """The N rows of a MOTChallenge file as arrays, ordered by frame and within it as in the file."""

    frames: np.ndarray  # (N,) int64, from 0
    ids: np.ndarray  # (N,) int64, -1 in detection files
    boxes: np.ndarray  # (N, 4) float64 xyxy
    confidences: np.ndarray  # (N,) float64
    classes: np.ndarray | None = None  # (N,) int64 as in the file, from 1
    visibilities: np.ndarray | None = None  # (N,) float64

    def __len__(self) -> int:
        return len(self.frames)

    def as_ground_truth(self) -> dict[int, Instances]:
        """Objects by frame index; `ignored` are the rows with conf 0."""
        return self._split(self._instances(truth=True))

    def as_tracks(self) -> dict[int, Instances]:
        """Objects with scores and ids by frame index."""
        return self._split(self._instances(truth=False))

    def as_detections(self) -> dict[int, Instances]:
        """Objects with scores and without ids by frame index."""
        return self._split(self._instances(truth=False).replace(ids=None))

    def _instances(self, truth: bool) -> Instances:
        labels = torch.zeros(len(self), dtype=torch.int64)
        if self.classes is not None:
            labels = torch.from_numpy(np.maximum(self.classes - 1, 0))
        visibilities = self.visibilities if truth else None
        return Instances(
            boxes=torch.from_numpy(self.boxes).float(),
            labels=labels,
            scores=None if truth else torch.from_numpy(self.confidences).float(),
            ids=torch.from_numpy(self.ids),
            ignored=torch.from_numpy(self.confidences == 0) if truth else None,
            visibilities=None if visibilities is None else torch.from_numpy(visibilities).float(),
        )

    def _split(self, instances: Instances) -> dict[int, Instances]:
        frames, starts = np.unique(self.frames, return_index=True)
        bounds = [*starts.tolist(), len(self)]
        return {int(frame): instances[bounds[row] : bounds[row + 1]] for row, frame in enumerate(frames)}


def read_mot(path: str | Path) -> MotTable:
    """Read a gt.txt, det.txt or result file, separated by commas, tabs or spaces.

    Six or more columns are read, `conf` is 1 where there is none. Rows of no width or height are left
    out with one `ResultWarning` that counts them. An empty file is an empty table.

    Raises:
        FileNotFoundError: no such file.
        ResultError: naming file and line: another number of columns than in the first row, a value that
            is no finite number, a frame below 1, a frame or id that is not whole.
    """
    path = Path(path)
    rows = load_rows(path)
    if not len(rows):
        return MotTable(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))
    check_rows(path, rows)
    positive = (rows[:, 4] > 0) & (rows[:, 5] > 0)
    if not positive.all():
        first = line_of(path, int(np.flatnonzero(~positive)[0]))
        text = f"{path}: {int((~positive).sum())} rows without width or height left out, the first in line {first}"
        warnings.warn(ResultWarning(text), stacklevel=2)
        rows = rows[positive]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    has_class = len(rows) > 0 and _have_classes(rows)
    return MotTable(
        frames=rows[:, 0].astype(np.int64) - 1,
        ids=rows[:, 1].astype(np.int64),
        boxes=np.hstack([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]]),
        confidences=rows[:, 6].copy() if rows.shape[1] > 6 else np.ones(len(rows)),
        classes=rows[:, 7].astype(np.int64) if has_class else None,
        visibilities=rows[:, 8].copy() if has_class and rows.shape[1] > 8 and (rows[:, 8] >= 0).all() else None,
    )


def _have_classes(rows: np.ndarray) -> bool:
    """Whether the columns after `conf` are class and visibility, not a place on the ground."""
    if rows.shape[1] < 8 or (rows[:, 7] < 1).any() or (rows[:, 7] != np.floor(rows[:, 7])).any():
        return False
    return rows.shape[1] < 9 or bool(((rows[:, 8] == -1) | ((rows[:, 8] >= 0) & (rows[:, 8] <= 1))).all())


def load_rows(path: Path) -> np.ndarray:
    """The rows of a file as (N, columns) float64, unchecked; read in C, the slow way only names a broken line."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
            if not first:
                return np.zeros((0, 9))
            file.seek(0)
            return np.loadtxt(file, delimiter=_delimiter(first), ndmin=2, comments=None)
    except ValueError as error:
        raise ResultError(_explain(path) or f"{path}: not a MOTChallenge file ({error})") from error


def _delimiter(line: str) -> str | None:
    return "," if "," in line else None


def _explain(path: Path) -> str | None:
    """What is wrong with the first line that is no row of numbers like the first."""
    columns = None
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            values = line.strip().split(_delimiter(line))
            columns = columns or len(values)
            if len(values) != columns:
                return f"{path}, line {number}: {len(values)} columns, {columns} in the rows before"
            for position, value in enumerate(values):
                try:
                    float(value)
                except ValueError:
                    field = FIELDS[position] if position < len(FIELDS) else f"column {position + 1}"
                    return f"{path}, line {number}: {field} is {value.strip()!r}, expected a number"
    return None


def check_rows(path: Path, rows: np.ndarray) -> None:
    """Raises ResultError, naming file and line, where a row is not made of frame, id and finite numbers."""
    if rows.shape[1] < 6:
        raise ResultError(f"{path}, line {line_of(path, 0)}: {rows.shape[1]} columns, at least 6 expected: {FIELDS}")
    checks = (
        (~np.isfinite(rows[:, :7]), "a finite number"),
        ((rows[:, :1] < 1), "1 or more"),
        (rows[:, :2] != np.floor(rows[:, :2]), "a whole number"),
    )
    for wrong, expected in checks:
        if wrong.any():
            row, column = (int(value) for value in np.argwhere(wrong)[0])
            where = f"{path}, line {line_of(path, row)}"
            raise ResultError(f"{where}: {FIELDS[column]} is {rows[row, column]:g}, expected {expected}")


def line_of(path: Path, row: int) -> int:
    """The line number, from 1, of a row: blank lines are no rows."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = (number for number, line in enumerate(file, 1) if line.strip())
        return next((number for count, number in enumerate(lines) if count == row), 0)
