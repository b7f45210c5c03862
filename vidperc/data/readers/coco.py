"""COCO (https://cocodataset.org) and CocoVID: one JSON file of images, annotations and categories.

CocoVID adds `videos`, and to images `video_id` and `frame_id`, to annotations `instance_id`.
Category ids may have gaps; labels count the classes in the order asked for, else in that of the ids.
Crowd regions (`iscrowd`) and objects marked `ignore` become `ignored`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools import mask as rle_codec

from ...io import read_image
from ...structures import Frame, Instances, VideoRecord
from ..problems import DataError, Problems
from .common import build_instances, read_json, require_keys

Annotation = dict[str, Any]


def read_coco(
    annotations: str | Path, images: str | Path, classes: Sequence[str] | None = None, masks: bool = False
) -> list[VideoRecord]:
    """A record of one frame for each image, or, of a file with `videos`, a record for each video.

    Args:
        annotations: the JSON file.
        images: folder that `file_name` is relative to.
        classes: names, in the order of the labels; annotations of others are left out. All of the file's
            by default.
        masks: read masks with each frame.

    Raises:
        FileNotFoundError: the file. DataError: not of this form, or a class it does not have.
    """
    return coco_records(read_json(annotations), str(annotations), images, classes, masks)


def coco_records(
    content: Any, annotations: str, images: str | Path, classes: Sequence[str] | None = None, masks: bool = False
) -> list[VideoRecord]:
    """As `read_coco`, of a file's content; `annotations` is what errors call it."""
    problems = Problems(annotations)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{annotations}: expected a dictionary with 'images', 'annotations' and 'categories'")
    labels, names = category_labels(content.get("categories", []), classes, annotations)
    for row, image in enumerate(content["images"]):
        require_keys(image, ("id", "file_name", "height", "width"), f"{annotations}: image {row}")
    pictures = {image["id"]: image for image in content["images"]}
    if len(pictures) < len(content["images"]):
        problems.add("images with an id that is taken", annotations, len(content["images"]) - len(pictures))
    known = {category["id"] for category in content.get("categories", [])}
    grouped = _by_image(content.get("annotations") or [], pictures, labels, known, problems)
    reader = _Reader(Path(images), labels, names, masks, problems)
    if content.get("videos"):
        records = reader.videos(content["videos"], content["images"], grouped)
    else:
        records = [reader.image(image, grouped.get(number, [])) for number, image in pictures.items()]
    problems.warn()
    return records


def category_labels(
    categories: Sequence[dict[str, Any]], classes: Sequence[str] | None, source: str
) -> tuple[dict[int, int], tuple[str, ...]]:
    """{category id: label} and the class names.

    Raises:
        DataError: a class that is not among the categories, or a category without name or id.
    """
    for row, category in enumerate(categories):
        require_keys(category, ("id", "name"), f"{source}: category {row}")
    by_name = {category["name"]: category["id"] for category in categories}
    if classes is None:
        classes = [category["name"] for category in sorted(categories, key=lambda category: category["id"])]
    missing = [name for name in classes if name not in by_name]
    if missing:
        raise DataError(f"{source} has no category {', '.join(missing)}; there is {', '.join(list(by_name)[:10])} ...")
    return {by_name[name]: label for label, name in enumerate(classes)}, tuple(classes)


def _by_image(
    annotations: Sequence[Annotation],
    images: dict[int, Any],
    labels: dict[int, int],
    known: set[int],
    problems: Problems,
) -> dict[int, list[Annotation]]:
    """Annotations with a box, of the wanted classes, by the id of their image; `known` are all category ids."""
    grouped: dict[int, list[Annotation]] = defaultdict(list)
    for row, annotation in enumerate(annotations):
        name = f"annotation {annotation.get('id', row)}"
        box = annotation.get("bbox")
        if annotation.get("image_id") not in images:
            problems.add("annotations of images that are not listed", name)
        elif annotation.get("category_id") not in known:
            problems.add("annotations of categories that are not listed", name)
        elif not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
            problems.add("annotations without a box", name)
        elif annotation["category_id"] in labels:
            grouped[annotation["image_id"]].append(annotation)
    return grouped


@dataclass
class _Reader:
    images: Path
    labels: dict[int, int]
    classes: tuple[str, ...]
    masks: bool
    problems: Problems

    def image(self, image: dict[str, Any], annotations: list[Annotation]) -> VideoRecord:
        """One image as a video of one frame."""
        path, size = self.images / image["file_name"], (image["height"], image["width"])
        instances, rows = self._instances(annotations, size)
        kept = [annotations[row] for row in rows]
        return VideoRecord(
            name=str(image["file_name"]), frames=[path], length=1, size=size, instances={0: instances},
            classes=self.classes, attributes={"image_id": image["id"]},
            load=MaskedFrames([path], {0: instances}, {0: _segments(kept)}) if self.masks else None,
        )  # fmt: skip

    def videos(
        self, videos: list[dict[str, Any]], images: list[dict[str, Any]], grouped: dict[int, list[Annotation]]
    ) -> list[VideoRecord]:
        """The videos of a CocoVID file, their frames in order of `frame_id`."""
        frames: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for image in images:
            frames[image.get("video_id", -1)].append(image)
        records = []
        for video in videos:
            own = sorted(frames.get(video["id"], []), key=lambda image: image.get("frame_id", 0))
            if own:
                records.append(self._video(video, own, grouped))
            else:
                self.problems.add("videos without frames", f"video {video['id']}")
        return records

    def _video(
        self, video: dict[str, Any], images: list[dict[str, Any]], grouped: dict[int, list[Annotation]]
    ) -> VideoRecord:
        size = (images[0]["height"], images[0]["width"])
        paths: list[str | Path] = [self.images / image["file_name"] for image in images]
        instances, segments = {}, {}
        for index, image in enumerate(images):
            annotations = grouped.get(image["id"], [])
            instances[index], rows = self._instances(annotations, size)
            segments[index] = _segments([annotations[row] for row in rows])
        return VideoRecord(
            name=str(video.get("name", video["id"])), frames=paths, length=len(paths), size=size,
            fps=video.get("fps"), instances=instances, classes=self.classes, attributes={"video_id": video["id"]},
            load=MaskedFrames(paths, instances, segments) if self.masks else None,
        )  # fmt: skip

    def _instances(self, annotations: list[Annotation], size: tuple[int, int]) -> tuple[Instances, np.ndarray]:
        boxes = np.asarray([a["bbox"] for a in annotations], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        known = bool(annotations) and all("instance_id" in a for a in annotations)
        return build_instances(
            boxes,
            [self.labels[a["category_id"]] for a in annotations],
            [f"annotation {a.get('id')} of image {a['image_id']}" for a in annotations],
            self.problems,
            size,
            ids=[int(a["instance_id"]) for a in annotations] if known else None,
            ignored=[bool(a.get("iscrowd") or a.get("ignore")) for a in annotations],
        )


def _segments(annotations: list[Annotation]) -> list[Any]:
    return [annotation.get("segmentation") for annotation in annotations]


@dataclass
class MaskedFrames:
    """Reads frames with the masks of their objects, decoded when a frame is read."""

    paths: Sequence[str | Path]
    instances: dict[int, Instances]
    segments: dict[int, list[Any]]  # by frame: polygons or RLE of each object

    def __call__(self, index: int) -> Frame:
        path = self.paths[index]
        frame = Frame.from_array(read_image(path), index, name=str(path))
        objects = self.instances[index]
        bitmaps = [decode_mask(segment, frame.size, str(path)) for segment in self.segments[index]]
        masks = torch.from_numpy(np.stack(bitmaps)) if bitmaps else torch.zeros(0, *frame.size, dtype=torch.bool)
        frame.instances = objects.replace(masks=masks)
        return frame


def decode_mask(segment: Any, size: tuple[int, int], name: str) -> np.ndarray:
    """COCO polygons or RLE (compressed or not) as (H, W) bool; all False for no segment.

    Raises:
        DataError: of another form, or of another size than the picture.
    """
    if not segment:
        return np.zeros(size, bool)
    height, width = size
    if isinstance(segment, list):
        polygons = [polygon for polygon in segment if len(polygon) >= 6]
        if not polygons:
            return np.zeros(size, bool)
        encoded = rle_codec.merge(rle_codec.frPyObjects(polygons, height, width))
    elif isinstance(segment, dict) and "counts" in segment:
        encoded = segment
        if isinstance(segment["counts"], list):
            encoded = rle_codec.frPyObjects(segment, *segment["size"])
    else:
        raise DataError(f"{name}: a segmentation must be polygons or RLE, got {type(segment).__name__}")
    mask = rle_codec.decode(encoded).astype(bool)
    if mask.shape != (height, width):
        raise DataError(f"{name}: a mask of {mask.shape[1]}x{mask.shape[0]} on a picture of {width}x{height}")
    return mask
