"""Reader of Scalabel json (https://doc.scalabel.com/format.html), the format of BDD100K's labels and results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .tracks import Tracks

BDD100K_SIZE = (720, 1280)  # height, width: polygons do not tell the size of their image
BDD100K_CLASSES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
RENAMED = {  # names of the detection set of 2018, by today's
    "bike": "bicycle",
    "caravan": "car",
    "motor": "motorcycle",
    "person": "pedestrian",
    "van": "car",
}
CURVE_STEPS = 10  # points that replace one cubic Bezier segment of a polygon


def read_scalabel(files: Sequence[Path], *, truth: bool) -> dict[str, Tracks]:
    """Tracks by video name from json files, each a list of frames or `{"frames": [...]}`.

    In ground truth, crowds, objects marked as ignored and categories outside BDD100K's eight are regions.
    Objects without box, polygon or run lengths are left out. A label's `id` may be any string.

    Raises:
        ValueError: not json, or a field missing, NaN, or twice the same id in a frame; file, frame and
            label are named.
    """
    videos: dict[str, list[tuple[int, dict, Path]]] = {}
    for file in files:
        for position, frame in enumerate(read_frames(file)):
            name = str(frame.get("videoName") or frame.get("video_name") or file.stem)
            index = frame.get("frameIndex", frame.get("index"))
            videos.setdefault(name, []).append((position if index is None else int(index), frame, file))
    return {name: _tracks(name, sorted(frames, key=lambda item: item[0]), truth) for name, frames in videos.items()}


def read_frames(file: Path) -> list[dict]:
    """The frames of a json file.

    Raises:
        ValueError: not of this form; names the file.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not valid json: {error}") from error
    frames = data.get("frames") if isinstance(data, dict) else data
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise ValueError(f"{file}: expected a list of frames or an object with 'frames'")
    return frames


def _tracks(name: str, frames: Sequence[tuple[int, dict, Path]], truth: bool) -> Tracks:
    ids: dict[str, int] = {}
    rows: list[tuple[int, int, str, np.ndarray, dict | None]] = []
    regions: list[tuple[int, int, str, np.ndarray, dict | None]] = []
    for index, frame, file in frames:
        seen = set()
        for label in frame.get("labels") or []:
            where = f"{file}, frame '{frame.get('name', index)}', label {label.get('id')}"
            shape = _shape(label, where)
            if shape is None:
                continue
            category = category_of(label)
            if truth and (is_region(label) or category not in BDD100K_CLASSES):
                regions.append((index, -1, category, *shape))
                continue
            if label.get("id") in seen:
                raise ValueError(f"{where}: the id occurs more than once in this frame of '{name}'")
            seen.add(label.get("id"))
            rows.append((index, ids.setdefault(str(label.get("id")), len(ids)), category, *shape))
    out = _columns(rows, name, str(frames[0][2]))
    out.length = frames[-1][0] + 1 if truth else None
    out.regions = _columns(regions, name, out.source) if truth else None
    return out


def _columns(rows: Sequence[tuple[int, int, str, np.ndarray, dict | None]], name: str, source: str) -> Tracks:
    masks = np.empty(len(rows), object)
    masks[:] = [row[4] for row in rows]
    return Tracks(
        frames=np.array([row[0] for row in rows], np.int64),
        ids=np.array([row[1] for row in rows], np.int64),
        boxes=np.array([row[3] for row in rows], float).reshape(-1, 4),
        labels=np.array([row[2] for row in rows], str),
        masks=masks if any(row[4] is not None for row in rows) else None,
        name=name,
        source=source,
        layout="scalabel",
    )


def category_of(label: dict) -> str:
    """A label's category by today's name."""
    name = str(label.get("category"))
    return RENAMED.get(name, name)


def is_region(label: dict) -> bool:
    """Whether a label is a crowd, or marked as ignored."""
    attributes = label.get("attributes") or {}
    return any(bool(attributes.get(key)) for key in ("crowd", "Crowd", "ignored", "Ignored"))


def _shape(label: dict, where: str) -> tuple[np.ndarray, dict | None] | None:
    """Box xyxy and, where the label has one, mask as run lengths."""
    if label.get("rle"):
        mask = {"size": label["rle"]["size"], "counts": label["rle"]["counts"].encode()}
        return _mask_box(mask), mask
    if label.get("poly2d"):
        mask = _rasterise(label["poly2d"])
        return _mask_box(mask), mask
    if not label.get("box2d"):
        return None
    try:
        box = np.array([float(label["box2d"][key]) for key in ("x1", "y1", "x2", "y2")])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: box2d lacks or has a bad {error}") from None
    if not np.isfinite(box).all():
        raise ValueError(f"{where}: box2d is not finite: {box.tolist()}")
    return box, None


def _mask_box(mask: dict) -> np.ndarray:
    from pycocotools import mask as coco

    x, y, width, height = coco.toBbox(mask)
    return np.array([x, y, x + width, y + height])


def _rasterise(polygons: Iterable[dict[str, Any]]) -> dict:
    """The union of an object's polygons as run lengths."""
    from pycocotools import mask as coco

    outlines = [_outline(polygon["vertices"], polygon.get("types") or "") for polygon in polygons]
    return coco.merge(coco.frPyObjects([outline.ravel().tolist() for outline in outlines], *BDD100K_SIZE))


def _outline(vertices: Sequence[Sequence[float]], types: str) -> np.ndarray:
    """(K, 2) points of a closed outline; two 'C' vertices in a row are the controls of a cubic curve."""
    points = np.asarray(vertices, float)
    if "C" not in types:
        return points
    out, i = [], 0
    t = np.linspace(0, 1, CURVE_STEPS + 1)[1:, None]
    while i < len(points):
        if types[i] == "L":
            out.append(points[i : i + 1])
            i += 1
            continue
        start, end = points[i - 1], points[(i + 2) % len(points)]
        first, second = points[i], points[(i + 1) % len(points)]
        curve = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3 * end
        out.append(curve[:-1])
        i += 2
    return np.concatenate(out)
