"""What the readers of single-object benchmarks share: tables of numbers, boxes of one object."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ...structures import VideoRecord
from ..problems import DataError
from ..single_truth import PictureFiles, SingleTruth


def read_table(path: Path, columns: Sequence[int] | None = None) -> np.ndarray:
    """Numbers of a text file (T, K), separated by commas, tabs or spaces; `NaN` is a number.

    Args:
        path: the file; empty lines are skipped.
        columns: the counts of numbers per line that are allowed.

    Raises:
        DataError: no such file, a line with something else or with another count; names file and line.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    rows: list[list[float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        fields = re.split(r"[,\s]+", line.strip().strip(","))
        if fields == [""]:
            continue
        try:
            row = [float(field) for field in fields]
        except ValueError:
            raise DataError(f"{path}:{number}: expected numbers, got '{line.strip()[:60]}'") from None
        if columns is not None and len(row) not in columns:
            raise DataError(f"{path}:{number}: expected {' or '.join(map(str, columns))} numbers, got {len(row)}")
        if rows and len(row) != len(rows[0]):
            raise DataError(f"{path}:{number}: {len(row)} numbers, the lines before have {len(rows[0])}")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no lines")
    return np.asarray(rows)


def read_flags(path: Path, length: int) -> np.ndarray:
    """(length,) flags of a file with one number per line, or all on one; absent files count as all 0.

    Raises:
        DataError: another count of flags.
    """
    if not path.is_file():
        return np.zeros(length, bool)
    flags = read_table(path).reshape(-1) > 0
    if len(flags) != length:
        raise DataError(f"{path}: {len(flags)} flags for {length} frames")
    return flags


def sot_record(
    name: str,
    frames: Sequence[Path],
    boxes: np.ndarray,
    *,
    absent: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
    **attributes: object,
) -> VideoRecord:
    """A video with one object.

    Args:
        name: of the video.
        frames: its pictures in order.
        boxes: (T, 4) x y w h; rows that are not finite or have no area are not annotated. Fewer rows than
            frames are those of the first frames, as test sets have whose truth is withheld.
        absent: (T,) frames in which the object is not to be seen; their boxes are marked as ignored.
        attributes: stored on the record, with `absent`, (frames,) bool.

    Raises:
        DataError: no frames, more boxes than frames, or a first frame without a box.
    """
    if not frames:
        raise DataError(f"{name}: no pictures")
    if len(boxes) > len(frames):
        raise DataError(f"{name}: {len(boxes)} boxes for {len(frames)} pictures")
    known = np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1)
    if not known[0]:
        raise DataError(f"{name}: the first frame has no box: {boxes[0].tolist()}")
    hidden = np.zeros(len(boxes), bool) if absent is None else np.asarray(absent, bool)
    corners = torch.from_numpy(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)).float()
    gone = np.zeros(len(frames), bool)
    gone[: len(boxes)] = hidden | ~known
    return VideoRecord(
        name=name, frames=frames, length=len(frames), size=size, instances=SingleTruth(corners, known, hidden),
        classes=("object",), attributes={**attributes, "absent": gone},
    )  # fmt: skip


def folder(root: str | Path, name: str = "") -> Path:
    """`root`/`name`.

    Raises:
        DataError: it is no folder.
    """
    path = Path(root) / name
    if not path.is_dir():
        raise DataError(f"{path}: no such folder")
    return path


def pictures(path: Path) -> PictureFiles:
    """The pictures of a folder, in the order of the numbers in their names.

    Raises:
        DataError: no such folder, or none in it.
    """
    found = [p for p in folder(path).iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".bmp")]
    found = [p for p in found if not p.name.startswith(".")]
    if not found:
        raise DataError(f"{path}: no pictures")
    return PictureFiles(path, [p.name for p in sorted(found, key=lambda p: (_number(p), p.name))])


def _number(path: Path) -> int:
    digits = re.findall(r"\d+", path.stem)
    return int(digits[-1]) if digits else -1


def read_names(path: Path) -> list[str]:
    """The names in a list file, one per line.

    Raises:
        DataError: no such file.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
