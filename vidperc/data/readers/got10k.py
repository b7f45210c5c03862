"""GOT-10k (https://arxiv.org/abs/1810.11981): `SPLIT/NAME/*.jpg` with truth, visibility and `meta_info.ini`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from configparser import ConfigParser
from pathlib import Path

import numpy as np

from ...structures import VideoRecord
from ..problems import DataError
from .sot_files import folder, pictures, read_flags, read_names, read_table, sot_record


def read_got10k(root: str | Path, split: str = "val", names: Sequence[str] | None = None) -> list[VideoRecord]:
    """Sequences of a split ("train", "val", "test"); of the test set the first box is known only.

    `cover` (T,), 0 to 8 eighths of the object that are seen, and the `category` are attributes. The object is absent
    where it is marked so and, as the benchmark counts, where nothing of it is seen.

    Raises:
        DataError: a missing or broken file.
    """
    base = folder(root, split)
    if names is None:
        names = read_names(base / "list.txt")
    return [_read_sequence(folder(base, name)) for name in names]


def _read_sequence(path: Path) -> VideoRecord:
    frames = pictures(path)
    boxes = read_table(path / "groundtruth.txt", (4,))
    absent = read_flags(path / "absence.label", len(frames))
    cover = np.full(len(frames), 8)
    if (path / "cover.label").is_file():
        cover = read_table(path / "cover.label").reshape(-1).astype(int)
        if len(cover) != len(frames):
            raise DataError(f"{path / 'cover.label'}: {len(cover)} lines for {len(frames)} frames")
    meta = ConfigParser(interpolation=None)  # the URLs in it have percent signs
    meta.read(path / "meta_info.ini", encoding="utf-8")
    numbers = re.findall(r"\d+", meta.get("METAINFO", "resolution", fallback=""))  # (width, height)
    size = (int(numbers[1]), int(numbers[0])) if len(numbers) == 2 else None
    return sot_record(
        path.name, frames, boxes, absent=(absent | (cover == 0))[: len(boxes)], size=size,
        cover=cover, category=meta.get("METAINFO", "object_class", fallback=""),
    )  # fmt: skip
