"""VOT short-term challenges (2013 to 2019): `list.txt`, `NAME/groundtruth.txt` with boxes or polygons, `NAME/*.tag`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...structures import VideoRecord
from ..problems import DataError
from .sot_files import folder, pictures, read_flags, read_names, read_table, sot_record

FOLDERS = ("color", "imgs", "img", ".")


def read_vot(root: str | Path, names: Sequence[str] | None = None) -> list[VideoRecord]:
    """Sequences of a challenge, those of `list.txt` where there is one.

    The truth as polygons, (T, 4, 2), is the attribute `polygons`; the boxes are those a tracker without
    rotation starts from (`upright_box`). `tags` has a (T,) bool per kind of difficulty.

    Raises:
        DataError: a missing or broken file.
    """
    base = folder(root)
    if names is None and (base / "list.txt").is_file():
        names = read_names(base / "list.txt")
    if names is None:
        names = sorted(path.parent.name for path in base.glob("*/groundtruth.txt"))
    if not names:
        raise DataError(f"{base}: no VOT sequences (NAME/groundtruth.txt)")
    return [_read_sequence(folder(base, name)) for name in names]


def _read_sequence(path: Path) -> VideoRecord:
    polygons = as_polygons(read_table(path / "groundtruth.txt", (4, 8)))
    place = next((path / name for name in FOLDERS if _has_pictures(path / name)), path)
    frames = pictures(place)
    if len(frames) != len(polygons):
        raise DataError(f"{path}: {len(polygons)} lines of truth for {len(frames)} pictures")
    tags = {tag.stem: read_flags(tag, len(frames)) for tag in sorted(path.glob("*.tag"))}
    return sot_record(path.name, frames, upright_box(polygons), polygons=polygons, tags=tags)


def _has_pictures(path: Path) -> bool:
    return path.is_dir() and any(p.suffix.lower() in (".jpg", ".png") for p in path.iterdir())


def as_polygons(table: np.ndarray) -> np.ndarray:
    """Rows x y w h or x1 y1 ... x4 y4 (T, 4 or 8) as corners (T, 4, 2)."""
    if table.shape[1] == 8:
        return table.reshape(-1, 4, 2)
    x, y, w, h = table.T
    return np.stack([x, y, x + w, y, x + w, y + h, x, y + h], 1).reshape(-1, 4, 2)


def upright_box(polygons: np.ndarray) -> np.ndarray:
    """Boxes x y w h (T, 4) that stand for rotated ones (T, 4, 2), as the published trackers start on VOT.

    About the corners' mean, with the area of the rotated box and the aspect of its bounding box, one pixel larger.
    """
    center = polygons.mean(1)
    extent = polygons.max(1) - polygons.min(1)  # (T, 2)
    sides = np.linalg.norm(polygons - np.roll(polygons, -1, 1), axis=2)  # (T, 4)
    scale = np.sqrt(sides[:, 0] * sides[:, 1] / np.maximum(extent.prod(1), 1e-12))
    size = extent * scale[:, None] + 1
    return np.concatenate([center - size / 2, size], 1)
