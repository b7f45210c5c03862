"""MOTChallenge (MOT15, MOT16, MOT17, MOT20, https://motchallenge.net), DanceTrack, and CrowdHuman.

Of MOT16 and later, class 1 (pedestrian) is what counts; person on vehicle, static person, distractor, reflection and
crowd (2, 7, 8, 12, 13) are ignored, the others left out. Rows with `conf` 0 are ignored. MOT15 has no classes.
Boxes are taken as they stand, without moving them by the pixel that MOTChallenge counts from, as results are
written; they are of the whole person, in parts outside the picture, and are left so unless `clip` is set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...io import MotTable, list_images, read_mot, read_seqinfo
from ...structures import Instances, VideoRecord
from ..problems import DataError, Problems
from .common import build_instances, require_folder

PEDESTRIAN = 1
LIKE_PEDESTRIANS = (2, 7, 8, 12, 13)


def read_mot_sequences(
    root: str | Path, names: Sequence[str] | None = None, *, clip: bool = False
) -> list[VideoRecord]:
    """The sequences (folders with `seqinfo.ini`) below a folder, with their ground truth and public detections.

    Args:
        root: a split's folder, or one sequence.
        names: which sequences, all by default; parts of a name choose too (as `SDP` of MOT17).
        clip: cut boxes off at the picture's border.

    Raises:
        FileNotFoundError: the folder, or no sequence in it. DataError, ResultError: a bad file, named.
    """
    root = require_folder(root, "sequences with seqinfo.ini, img1 and gt")
    folders = [root] if (root / "seqinfo.ini").is_file() else sorted(p.parent for p in root.glob("*/seqinfo.ini"))
    if names is not None:
        folders = [folder for folder in folders if any(name in folder.name for name in names)]
    if not folders:
        raise FileNotFoundError(f"{root}: no sequences{f' named {list(names)}' if names else ''} (with seqinfo.ini)")
    problems = Problems(str(root))
    records = [_sequence(folder, clip, problems) for folder in folders]
    problems.warn()
    return records


def read_dancetrack(root: str | Path, split: str = "train") -> list[VideoRecord]:
    """DanceTrack (https://arxiv.org/abs/2111.14690): MOTChallenge's layout, every row a dancer."""
    folder = Path(root) / split
    return read_mot_sequences(folder if folder.is_dir() else root)


def half_split(records: Sequence[VideoRecord], half: int) -> list[VideoRecord]:
    """The first (0) or second (1) half of each video, renumbered from 0: the usual validation split of MOT17.

    The first half has floor(length / 2) + 1 frames, as in CenterTrack's split, which most papers use.
    """
    return [_cut(record, half) for record in records]


def _cut(record: VideoRecord, half: int) -> VideoRecord:
    if record.frames is None:
        raise DataError(f"{record.name}: only videos of image files can be split")
    middle = len(record.frames) // 2 + 1
    start, stop = (0, middle) if half == 0 else (middle, len(record.frames))

    def shift(items: Mapping[int, Instances]) -> dict[int, Instances]:
        return {index - start: value for index, value in items.items() if start <= index < stop}

    return VideoRecord(
        record.name, frames=record.frames[start:stop], length=stop - start, size=record.size, fps=record.fps,
        instances=shift(record.instances), detections=shift(record.detections), classes=record.classes,
        attributes={**record.attributes, "first_frame": start},
    )  # fmt: skip


def _sequence(folder: Path, clip: bool, problems: Problems) -> VideoRecord:
    info = read_seqinfo(folder / "seqinfo.ini")
    frames = _pictures(folder / info.image_folder)
    length = info.length or len(frames)
    if frames and max(frames) + 1 != length:
        problems.add("sequences with another number of images than seqinfo.ini says", folder.name)
        length = max(frames) + 1
    missing = length - len(frames) if frames else 0
    problems.add("frames without an image, which are left unannotated", folder.name, missing)
    instances: dict[int, Instances] = {}
    truth, found = folder / "gt" / "gt.txt", folder / "det" / "det.txt"
    if truth.is_file():
        instances = _truth(truth, read_mot(truth), info.size, length, clip, problems)
    if frames:
        instances = {index: objects for index, objects in instances.items() if index in frames}
    detections = read_mot(found).as_detections() if found.is_file() else {}
    paths: list[str | Path] | None = None
    if frames:
        paths = [frames.get(i, folder / info.image_folder / f"{i + 1:06d}.jpg") for i in range(length)]
    return VideoRecord(
        name=folder.name, frames=paths, source=folder, length=length, size=info.size, fps=info.fps,
        instances=instances, detections=detections, classes=("pedestrian",),
    )  # fmt: skip


def _pictures(folder: Path) -> dict[int, Path]:
    """The images of a sequence by frame index; they are named by numbers from 1."""
    if not folder.is_dir():
        return {}
    return {int(path.stem) - 1: path for path in list_images(folder) if path.stem.isdigit()}


def _truth(
    path: Path,
    table: MotTable,
    size: tuple[int, int] | None,
    length: int,
    clip: bool,
    problems: Problems,
) -> dict[int, Instances]:
    """Objects by frame; frames without rows have none, and are annotated so."""
    kinds = np.full(len(table), PEDESTRIAN) if table.classes is None else table.classes
    ignored = (table.confidences == 0) | np.isin(kinds, LIKE_PEDESTRIANS)
    kept = np.flatnonzero((kinds == PEDESTRIAN) | (kinds == -1) | np.isin(kinds, LIKE_PEDESTRIANS))
    late = table.frames[kept] >= length
    if late.any():
        problems.add("rows beyond the last frame", f"{path}, frame {int(table.frames[kept][late][0]) + 1}", late.sum())
    instances = {}
    order = kept[~late]
    for frame in range(length):
        rows = order[table.frames[order] == frame] if len(order) < 2000 else _rows_of(table.frames, order, frame)
        instances[frame], _ = build_instances(
            table.boxes[rows],
            np.zeros(len(rows), np.int64),
            [f"{path}, frame {frame + 1}, id {int(table.ids[row])}" for row in rows],
            problems,
            size,
            ids=table.ids[rows].tolist(),
            ignored=ignored[rows].tolist(),
            visibilities=None if table.visibilities is None else table.visibilities[rows].tolist(),
            clip=clip,
        )
    return instances


def _rows_of(frames: np.ndarray, order: np.ndarray, frame: int) -> np.ndarray:
    """The rows of a frame; a table is ordered by frame."""
    sorted_frames = frames[order]
    return order[np.searchsorted(sorted_frames, frame) : np.searchsorted(sorted_frames, frame, side="right")]


def read_crowdhuman(annotations: str | Path, images: str | Path, kind: str = "full") -> list[VideoRecord]:
    """CrowdHuman (https://arxiv.org/abs/1805.00123): a file with a JSON object per line (`.odgt`).

    Args:
        annotations: the .odgt file.
        images: folder of the pictures `ID.jpg`.
        kind: "full", "visible" or "head" boxes. Masked-out regions and objects with `ignore` are ignored.

    Raises:
        FileNotFoundError: the file. DataError: a line that is not as expected, named.
    """
    fields = {"full": "fbox", "visible": "vbox", "head": "hbox"}
    if kind not in fields:
        raise DataError(f"CrowdHuman boxes '{kind}': expected one of {', '.join(fields)}")
    path = Path(annotations)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    problems = Problems(str(path))
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            records.append(_crowd(line, f"{path}, line {number}", Path(images), fields[kind], problems))
    problems.warn()
    return records


def _crowd(line: str, where: str, images: Path, field: str, problems: Problems) -> VideoRecord:
    try:
        content: dict[str, Any] = json.loads(line)
        name, people = content["ID"], content["gtboxes"]
        boxes = np.asarray([person[field] for person in people], np.float64).reshape(-1, 4)
    except (json.JSONDecodeError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{where}: expected ID and gtboxes with {field}: {error!r}") from error
    boxes[:, 2:] += boxes[:, :2]
    extra = "head_attr" if field == "hbox" else "extra"
    ignored = [person.get("tag") != "person" or bool(person.get(extra, {}).get("ignore", 0)) for person in people]
    instances, _ = build_instances(
        boxes, np.zeros(len(boxes), np.int64), [f"{where}, box {i}" for i in range(len(boxes))], problems, None,
        ignored=ignored, clip=False,
    )  # fmt: skip
    instances.ids = torch.arange(len(instances))
    return VideoRecord(
        name, frames=[images / f"{name}.jpg"], length=1, instances={0: instances}, classes=("pedestrian",)
    )
