"""Single-object tracking: GOT-10k and OTB, the one object of each video being the one that is there the longest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...io.whole_files import write_text
from ...structures import Instances, VideoRecord
from ..problems import DataError
from .common import frames_of, write_picture


def target_of(record: VideoRecord) -> int:
    """The id of the object that is seen in the most frames, the lowest of equals, among those of the first frame.

    Raises:
        DataError: the first frame shows no object with an identity.
    """
    counts: Counter[int] = Counter()
    first: set[int] | None = None
    for _, objects in frames_of(record):
        present = [] if objects.ids is None else objects.ids.tolist()
        first = set(present) if first is None else first
        counts.update(key for key in present if key in first)
    if not counts:
        raise DataError(f"{record.name}: the first frame shows no object to follow")
    return min(counts, key=lambda key: (-counts[key], key))


def _box(objects: Instances, target: int) -> tuple[list[float], float]:
    """x, y, width, height and the visibility of the target; NaN and 0 where it is not seen."""
    rows = [] if objects.ids is None else np.flatnonzero(objects.ids.numpy() == target).tolist()
    if not rows:
        return [float("nan")] * 4, 0.0
    x0, y0, x1, y1 = objects.boxes[rows[0]].tolist()
    seen = 1.0 if objects.visibilities is None else float(objects.visibilities[rows[0]])
    return [x0, y0, x1 - x0, y1 - y0], seen


def write_got10k(records: Sequence[VideoRecord], out: str | Path, split: str = "train") -> Path:
    """GOT-10k: pictures `00000001.jpg`, `groundtruth.txt`, `absence.label`, `cover.label`, `meta_info.ini`.

    Gives the split's list. In frames where the object is not seen the box is 0, 0, 0, 0 and absence 1.
    """
    folder = Path(out) / split
    for record in records:
        target, boxes, absence, cover, kind = target_of(record), [], [], [], "object"
        height = width = 0
        for index, (frame, objects) in enumerate(frames_of(record)):
            write_picture(folder / record.name / f"{index + 1:08d}.jpg", frame)
            box, seen = _box(objects, target)
            gone = seen <= 0
            boxes.append(",".join(f"{0.0 if gone else value:.4f}" for value in box))
            absence.append(str(int(gone)))
            cover.append(str(round(8 * seen)))  # of 8 parts
            height, width = frame.size
            if not gone and objects.labels is not None and objects.ids is not None and record.classes:
                kind = record.classes[int(objects.labels[objects.ids == target][0])]
        for name, lines in (("groundtruth.txt", boxes), ("absence.label", absence), ("cover.label", cover)):
            write_text(folder / record.name / name, "\n".join(lines) + "\n")
        write_text(
            folder / record.name / "meta_info.ini",
            f"[METAINFO]\nurl: none\nbegin: 00:00:00\nend: 00:00:00\nanno_fps: {record.fps or 25:g}Hz\n"
            f"object_class: {kind}\nmotion_class: moving\nmajor_class: synthetic\nroot_class: object\n"
            f"motion_adverb: none\nresolution: ({width}, {height})\n",
        )
    write_text(folder / "list.txt", "\n".join(record.name for record in records) + "\n")
    return folder / "list.txt"


def write_otb(records: Sequence[VideoRecord], out: str | Path) -> Path:
    """OTB: pictures `img/0001.jpg` and `groundtruth_rect.txt`, boxes in whole pixels. Gives the folder."""
    out = Path(out)
    for record in records:
        target, boxes = target_of(record), []
        for index, (frame, objects) in enumerate(frames_of(record)):
            write_picture(out / record.name / "img" / f"{index + 1:04d}.jpg", frame)
            x, y, w, h = np.nan_to_num(_box(objects, target)[0], nan=0.0).tolist()
            boxes.append(f"{round(x)},{round(y)},{round(w)},{round(h)}" if w > 0 else "0,0,0,0")
        write_text(out / record.name / "groundtruth_rect.txt", "\n".join(boxes) + "\n")
    return out
