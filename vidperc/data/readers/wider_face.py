"""WIDER FACE (http://shuoyang1213.me/WIDERFACE): pictures of crowds with boxes of faces, in its own text files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...structures import VideoRecord
from ..problems import DataError, Problems
from .common import build_instances, require_folder

INVALID = 7  # column of the mark of faces that are not to be found


def read_wider_face(root: str | Path, split: str = "train", min_side: float = 0) -> list[VideoRecord]:
    """A record of one frame for each picture; faces marked as invalid are ignored.

    Args:
        root: folder with `wider_face_split/wider_face_SPLIT_bbx_gt.txt` and `WIDER_SPLIT/images`.
        split: train or val.
        min_side: faces of which a side has fewer pixels are ignored too.

    Raises:
        FileNotFoundError: the folder or the file. DataError: a line that is not of this form.
    """
    root = require_folder(root, "wider_face_split and WIDER_train")
    path = root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    problems, records = Problems(str(path)), []
    for name, rows in _pictures(path):
        boxes = [[row[0], row[1], row[0] + row[2], row[1] + row[3]] for row in rows]
        ignored = [row[INVALID] == 1 or min(row[2], row[3]) < min_side for row in rows]
        where = [f"{name}, face {number}" for number in range(len(rows))]
        objects, _ = build_instances(boxes, [0] * len(rows), where, problems, None, ignored=ignored)
        picture = root / f"WIDER_{split}" / "images" / name
        records.append(VideoRecord(name, frames=[picture], length=1, instances={0: objects}, classes=("face",)))
    problems.warn()
    return records


def _pictures(path: Path) -> Iterator[tuple[str, list[list[float]]]]:
    """Name and faces of each picture: x, y, width, height and six attributes. One without faces has a row of zeros."""
    lines = path.read_text(encoding="utf-8").splitlines()
    place = 0
    while place < len(lines):
        name = lines[place].strip()
        try:
            count = int(lines[place + 1])
            rows = [[float(value) for value in line.split()] for line in lines[place + 2 : place + 2 + max(count, 1)]]
        except (IndexError, ValueError) as error:
            raise DataError(f"{path}, line {place + 1}: expected a picture, a count and faces ({error})") from error
        if len(rows) < count or any(len(row) <= INVALID for row in rows):
            raise DataError(f"{path}, line {place + 1}: expected {count} faces of ten numbers each after '{name}'")
        yield name, rows[:count]
        place += 2 + max(count, 1)
