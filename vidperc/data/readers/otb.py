"""OTB100 (Wu et al., PAMI 2015): `NAME/img/*.jpg`, `NAME/groundtruth_rect.txt`; boxes x y w h, taken as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...structures import VideoRecord
from ..problems import DataError
from .sot_files import folder, pictures, read_names, read_table, sot_record

# Number of the picture that the first line of the truth belongs to, where that is not the first picture.
FIRST_PICTURE = {"David": 300, "BlurCar1": 247, "BlurCar3": 3, "BlurCar4": 18}


def read_otb(root: str | Path, names: Sequence[str] | None = None) -> list[VideoRecord]:
    """The sequences in `root`; one with several objects gives several records (`Jogging-1`, `Jogging-2`).

    Args:
        root: holds the sequences' folders.
        names: folders, or one of the objects in a folder, as the benchmark's list of 100 has them (`Human4-2`).

    Raises:
        DataError: a missing or broken file, or no such object.
    """
    base = folder(root)
    found = names if names is not None else sorted(p.name for p in base.iterdir() if (p / "img").is_dir())
    if not found:
        raise DataError(f"{base}: no OTB sequences (NAME/img, NAME/groundtruth_rect.txt)")
    return [record for name in found for record in _read_named(base, name)]


def _read_named(base: Path, name: str) -> list[VideoRecord]:
    parts = re.fullmatch(r"(.+)[-.](\d)", name)
    if (base / name).is_dir() or parts is None:
        return _read_sequence(folder(base, name))
    truth = folder(base, parts[1]) / f"groundtruth_rect.{parts[2]}.txt"
    return [_read_object(truth, f"{parts[1]}-{parts[2]}")]


def _read_sequence(path: Path) -> list[VideoRecord]:
    truths = sorted(path.glob("groundtruth_rect*.txt"))
    if not truths:
        raise DataError(f"{path}: no groundtruth_rect.txt")
    if len(truths) == 1:
        return [_read_object(truths[0], path.name)]
    return [_read_object(truth, f"{path.name}-{number}") for number, truth in enumerate(truths, 1)]


def _read_object(truth: Path, name: str) -> VideoRecord:
    path = truth.parent
    boxes = read_table(truth, (4,))
    frames = pictures(path / "img")
    start = FIRST_PICTURE.get(path.name)
    if start is not None and int(frames[0].stem) < start:
        frames = frames[sum(int(frame.stem) < start for frame in frames) :]
    attributes = read_names(path / "attrs.txt") if (path / "attrs.txt").is_file() else []
    tags = [tag.strip() for line in attributes for tag in line.split(",")]
    return sot_record(name, frames[: len(boxes)], boxes, tags=tags)


def read_otb_json(path: str | Path, root: str | Path, names: Sequence[str] | None = None) -> list[VideoRecord]:
    """Sequences of an `OTB2015.json`, with pictures in `root`/NAME/img; those named, or all.

    Raises:
        DataError: a broken file, or a name that it has not.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    by_name = {str(entry["name"]): entry for entry in content.values()}
    records = []
    for name in by_name if names is None else names:
        if name not in by_name:
            raise DataError(f"{path}: no sequence '{name}'")
        entry = by_name[name]
        frames = [Path(root) / name / "img" / Path(file).name for file in entry["image_files"]]
        records.append(sot_record(name, frames, np.asarray(entry["gt_rect"], dtype=float), tags=entry.get("attr", [])))
    return records
