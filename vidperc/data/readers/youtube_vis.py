"""YouTube-VIS 2019 and 2021 (https://youtube-vos.org/dataset/vis) and OVIS (https://songbai.site/ovis).

One JSON file of videos, of objects with a mask (RLE or polygons) and a box per frame, null where an object is
not seen, and of categories. Category ids may have gaps; labels count them in order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.ops import masks_to_boxes

from ...structures import Instances, VideoRecord
from ..problems import DataError, Problems
from .coco import MaskedFrames, category_labels, decode_mask
from .common import build_instances, read_json, require_folder, require_keys


def read_youtube_vis(
    annotations: str | Path, images: str | Path, classes: Sequence[str] | None = None
) -> list[VideoRecord]:
    """A record per video; masks are decoded when a frame is read.

    `attributes` have `video_id`, and `category_ids`: the id of each label. Files of test sets, without
    annotations, give videos without truth.

    Args:
        annotations: `instances.json`, `train.json`, `annotations_train.json` ...
        images: folder that `file_names` are relative to (`JPEGImages`).
        classes: names, in the order of the labels; objects of others are left out. All by default.

    Raises:
        FileNotFoundError: the file or folder. DataError: not of this form; names the entry.
    """
    content = read_json(annotations)
    images = require_folder(images, "the videos' folders of frames")
    if not isinstance(content, dict) or not isinstance(content.get("videos"), list):
        raise DataError(f"{annotations}: expected a dictionary with 'videos', 'annotations' and 'categories'")
    labels, names = category_labels(content.get("categories", []), classes, str(annotations))
    ids = tuple(sorted(labels, key=lambda number: labels[number]))
    problems = Problems(str(annotations))
    for row, video in enumerate(content["videos"]):
        require_keys(video, ("id", "file_names", "height", "width"), f"{annotations}: video {row}")
    known = {video["id"] for video in content["videos"]}
    categories = {category["id"] for category in content.get("categories", [])}
    objects: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row, entry in enumerate(content.get("annotations") or ()):
        if entry.get("video_id") not in known:
            problems.add("annotations of videos that are not listed", f"annotation {entry.get('id', row)}")
        elif entry.get("category_id") not in categories:
            problems.add("annotations of categories that are not listed", f"annotation {entry.get('id', row)}")
        elif entry["category_id"] in labels:
            require_keys(entry, ("id",), f"{annotations}: annotation {row}")
            objects[entry["video_id"]].append(entry)
    annotated = content.get("annotations") is not None
    records = [
        _record(video, objects[video["id"]] if annotated else None, images, labels, names, ids, problems)
        for video in content["videos"]
    ]
    problems.warn()
    return records


def _record(
    video: dict[str, Any],
    objects: list[dict[str, Any]] | None,
    images: Path,
    labels: dict[int, int],
    names: tuple[str, ...],
    ids: tuple[int, ...],
    problems: Problems,
) -> VideoRecord:
    paths: list[str | Path] = [images / name for name in video["file_names"]]
    if not paths:
        raise DataError(f"{problems.source}: video {video['id']} has no frames")
    size = (int(video["height"]), int(video["width"]))
    instances: dict[int, Instances] = {}
    segments: dict[int, list[Any]] = {}
    for t in range(len(paths) if objects is not None else 0):
        instances[t], segments[t] = _frame(video, objects or [], t, len(paths), size, labels, problems)
    return VideoRecord(
        name=Path(video["file_names"][0]).parent.as_posix(),
        frames=paths,
        length=len(paths),
        size=size,
        instances=instances,
        classes=names,
        attributes={"video_id": video["id"], "category_ids": ids},
        load=MaskedFrames(paths, instances, segments) if instances else None,
    )


def _frame(
    video: dict[str, Any],
    objects: list[dict[str, Any]],
    t: int,
    length: int,
    size: tuple[int, int],
    labels: dict[int, int],
    problems: Problems,
) -> tuple[Instances, list[Any]]:
    """The objects seen in frame t, and their segmentations."""
    rows, boxes, segments = [], [], []
    for entry in objects:
        where = f"{problems.source}: annotation {entry.get('id')} of video {video['id']}"
        masks = entry.get("segmentations")
        if not isinstance(masks, list) or len(masks) != length:
            given = len(masks) if isinstance(masks, list) else "no list of"
            raise DataError(f"{where}: {given} segmentations, the video has {length} frames")
        if not masks[t]:
            continue
        box = (entry.get("bboxes") or [None] * length)[t]
        rows.append(entry)
        boxes.append(_corners(box) if box else _box_of(masks[t], size, f"{where}, frame {t}"))
        segments.append(masks[t])
    found, kept = build_instances(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        [labels[entry["category_id"]] for entry in rows],
        [f"annotation {entry.get('id')} of video {video['id']}, frame {t}" for entry in rows],
        problems,
        size,
        ids=[int(entry["id"]) for entry in rows],
        ignored=[bool(entry.get("iscrowd")) for entry in rows],
    )
    return found, [segments[row] for row in kept]


def _corners(box: Sequence[float]) -> list[float]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def _box_of(segment: Any, size: tuple[int, int], name: str) -> list[float]:
    """The bounds of a mask, for files without boxes; zeros, which are left out, for an empty one."""
    mask = torch.from_numpy(decode_mask(segment, size, name))
    if not mask.any():
        return [0.0] * 4
    x1, y1, x2, y2 = masks_to_boxes(mask[None])[0].tolist()
    return [x1, y1, x2 + 1, y2 + 1]
