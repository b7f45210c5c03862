"""Detections from files, attached to the frames of a video."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .. import structures
from ..structures import Instances
from .errors import ResultError
from .motchallenge import AnnotatedFrames
from .results import read_mot
from .video import Video


def read_detections(path: str | Path) -> dict[int, Instances]:
    """Detections by frame index, from MOTChallenge rows or COCO json (`.json`)."""
    if Path(path).suffix.lower() == ".json":
        return read_coco_detections(path)
    return read_mot(path).as_detections()


def with_detections(video: structures.Video, detections: Mapping[int, Instances] | str | Path) -> Video:
    """The same video, its frames with these `detections`; a frame without an entry has none."""
    if isinstance(detections, str | Path):
        detections = read_detections(detections)
    return Video(AnnotatedFrames(video.source, detections=detections), prompt=video.prompt)


def read_coco_detections(
    path: str | Path, frames: Mapping[int | str, int] | None = None, first_image: int = 0
) -> dict[int, Instances]:
    """Detections of COCO's result format, `[{"image_id", "category_id", "bbox": [x, y, w, h], "score"}, ...]`.

    A dictionary with `annotations` (and `images`, `categories`) is read too. The frame of an image is, in
    this order: what `frames` says; the `frame_id` of its entry in `images`; its position there; or
    `image_id - first_image`. Labels are positions among the sorted ids of `categories`, or without them
    the category ids as they are.

    Raises:
        FileNotFoundError: no such file.
        ResultError: naming file and entry: not json of this shape, a key missing, a bad box or image.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ResultError(f"{path}, line {error.lineno}: not json ({error.msg})") from error
    rows = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise ResultError(f"{path}: expected a list of detections, or a dictionary with 'annotations'")
    tables = content if isinstance(content, dict) else {}
    if frames is None and tables.get("images"):
        frames = {image["id"]: image.get("frame_id", place) for place, image in enumerate(tables["images"])}
    classes = {category["id"]: place for place, category in enumerate(_by_id(tables.get("categories") or []))}
    found: dict[int, list[tuple[list[float], float, int]]] = {}
    for number, row in enumerate(rows):
        where = f"{path}, entry {number}"
        frame = _frame_of(row, frames, first_image, where)
        label = row.get("category_id", 0)
        found.setdefault(frame, []).append(
            (_box_of(row, where), float(row.get("score", 1.0)), classes.get(label, label))
        )
    return {frame: _instances(found[frame]) for frame in sorted(found)}


def _by_id(categories: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(categories, key=lambda category: category["id"])


def _frame_of(row: Any, frames: Mapping[int | str, int] | None, first_image: int, where: str) -> int:
    if not isinstance(row, dict) or "image_id" not in row:
        raise ResultError(f"{where}: no 'image_id'")
    image = row["image_id"]
    if frames is not None:
        if image not in frames:
            raise ResultError(f"{where}: image_id {image!r} is not among the images")
        return frames[image]
    if not isinstance(image, int) or image < first_image:
        raise ResultError(f"{where}: image_id {image!r} is no frame number from {first_image}")
    return image - first_image


def _box_of(row: dict[str, Any], where: str) -> list[float]:
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_finite(value) for value in [*box, row.get("score", 1)]):
        raise ResultError(f"{where}: expected a bbox of x, y, width, height and a score, finite, got {box!r}")
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise ResultError(f"{where}: bbox {box} has no width or height")
    return [x, y, x + width, y + height]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _instances(rows: list[tuple[list[float], float, int]]) -> Instances:
    boxes, scores, labels = zip(*rows, strict=True)
    return Instances(boxes=torch.tensor(boxes), scores=torch.tensor(scores), labels=torch.tensor(labels))
