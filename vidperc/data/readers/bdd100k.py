"""BDD100K (https://arxiv.org/abs/1805.04687) in Scalabel's format: JSON frames with labelled boxes.

Frames with a `videoName` (box tracking) are joined to videos, others (detection) are videos of one frame.
x2 and y2 name the last pixel of a box, as in Scalabel's own evaluation; its edges are one more.
Crowds, objects marked as ignored, and the tracking classes that do not count ("other person", "trailer", "other
vehicle") are ignored, as in the benchmark's evaluation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...structures import Instances, VideoRecord
from ..problems import DataError, Problems
from .common import build_instances, read_json

CLASSES = (
    "pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle", "traffic light", "traffic sign",
)  # fmt: skip
TRACKING_CLASSES = CLASSES[:8]
OTHER_NAMES = {  # of earlier releases
    "person": "pedestrian", "bike": "bicycle", "motor": "motorcycle", "caravan": "car", "van": "car",
}  # fmt: skip
DISTRACTORS = {"other person": "pedestrian", "trailer": "truck", "other vehicle": "car"}
IGNORING = ("crowd", "Crowd", "ignored", "Ignored")  # attributes
SIZE = (720, 1280)


def read_bdd100k(
    annotations: str | Path, images: str | Path, classes: Sequence[str] = CLASSES, size: tuple[int, int] | None = SIZE
) -> list[VideoRecord]:
    """The videos or images of a label file, or of a folder of label files (one per video).

    Args:
        annotations: a JSON file or a folder of them.
        images: folder that pictures are in, `videoName/name` for videos and `name` for images.
        classes: in the order of the labels; others are left out.
        size: (height, width) of the pictures, where a frame does not tell.

    Raises:
        FileNotFoundError: no such file or folder. DataError: not of this form.
    """
    path = Path(annotations)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path}: no label files (*.json)")
    problems = Problems(str(path))
    labels = {name: number for number, name in enumerate(classes)}
    records = []
    for file in files:
        content = read_json(file)
        frames = content.get("frames") if isinstance(content, dict) else content
        if not isinstance(frames, list) or not all(isinstance(frame, dict) and "name" in frame for frame in frames):
            raise DataError(f"{file}: expected a list of frames with 'name' and 'labels'")
        records += _records(file, frames, Path(images), labels, tuple(classes), size, problems)
    problems.warn()
    return records


def _records(
    file: Path,
    frames: list[dict[str, Any]],
    images: Path,
    labels: dict[str, int],
    classes: tuple[str, ...],
    size: tuple[int, int] | None,
    problems: Problems,
) -> list[VideoRecord]:
    videos: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for frame in frames:
        videos[frame.get("videoName") or frame["name"]].append(frame)
    records = []
    for name, own in videos.items():
        own.sort(key=lambda frame: frame.get("frameIndex") or 0)
        identities: dict[str, int] = {}
        folder = images / name if own[0].get("videoName") else images
        instances = {
            index: _objects(frame, f"{file}, {frame['name']}", labels, identities, _size(frame, size), problems)
            for index, frame in enumerate(own)
        }
        records.append(
            VideoRecord(
                name,
                frames=[folder / frame["name"] for frame in own],
                length=len(own),
                size=_size(own[0], size),
                fps=5.0 if len(own) > 1 else None,
                instances=instances,
                classes=classes,
            )
        )
    return records


def _size(frame: dict[str, Any], default: tuple[int, int] | None) -> tuple[int, int] | None:
    given = frame.get("size")
    return (given["height"], given["width"]) if given else default


def _objects(
    frame: dict[str, Any],
    where: str,
    labels: dict[str, int],
    identities: dict[str, int],
    size: tuple[int, int] | None,
    problems: Problems,
) -> Instances:
    """The boxes of a frame; objects without a box (lanes, areas) are no objects here."""
    boxes, kinds, names, ids, ignored = [], [], [], [], []
    for row, item in enumerate(frame.get("labels") or []):
        category, box = OTHER_NAMES.get(item.get("category"), item.get("category")), item.get("box2d")
        counted = DISTRACTORS.get(category, category)
        if counted not in labels or not box:
            continue
        boxes.append([box["x1"], box["y1"], box["x2"] + 1, box["y2"] + 1])
        kinds.append(labels[counted])
        names.append(f"{where}, label {item.get('id', row)}")
        ids.append(identities.setdefault(str(item.get("id", f"row {row}")), len(identities)))
        attributes = item.get("attributes") or {}
        ignored.append(category in DISTRACTORS or any(attributes.get(name) for name in IGNORING))
    return build_instances(boxes, kinds, names, problems, size, ids=ids, ignored=ignored)[0]
