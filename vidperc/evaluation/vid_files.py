"""evaluate_vid: detections in videos from COCO files or memory."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..structures import Instances
from .vid import VIDEvaluator, VIDScores

Frames = Sequence[Instances | None]
Source = str | Path | Mapping[str, Frames] | Frames


def evaluate_vid(ground_truth: Source, predictions: Source, classes: Sequence[str] | None = None) -> VIDScores:
    """AP over all frames and by the speed of the objects (`VIDEvaluator`).

    Args:
        ground_truth: a CocoVID json file (COCO with `videos`, `video_id`, `frame_id`, `instance_id`), or
            Instances per frame, of one video or by the videos' names.
        predictions: for a file of truth COCO results (a json list of `image_id`, `category_id`, `bbox`, `score`)
            or the `results.json` that testing writes; otherwise as the truth.
        classes: names in the order of labels; a file brings its own.

    Raises:
        FileNotFoundError: a path that does not exist. ValueError: a broken file, unknown images or categories,
            or videos that do not agree; they are named.
    """
    truths: Mapping[str, Frames]
    found: Mapping[str, Frames]
    if isinstance(ground_truth, str | Path):
        if not isinstance(predictions, str | Path):
            raise ValueError("truth from a file needs predictions from a file: a json list of COCO results")
        classes, truths, found = read_coco_vid(Path(ground_truth), Path(predictions))
    elif isinstance(predictions, str | Path):
        raise ValueError(f"{predictions}: predictions from a file need their truth from a CocoVID file")
    else:
        truths, found = _by_video(ground_truth), _by_video(predictions)
    if set(truths) != set(found):
        raise ValueError(f"videos that do not agree: {', '.join(sorted(set(truths) ^ set(found)))}")
    evaluator = VIDEvaluator(classes if classes is not None else _numbered(truths, found))
    for name, frames in truths.items():
        evaluator.process(name, [_given(part, name, row) for row, part in enumerate(found[name])], frames)
    return evaluator.scores()


def _given(part: Instances | None, name: str, row: int) -> Instances:
    if part is None:
        raise ValueError(f"{name}, frame {row}: no prediction")
    return part


def _by_video(source: Mapping[str, Frames] | Frames) -> Mapping[str, Frames]:
    return source if isinstance(source, Mapping) else {"video": source}


def _numbered(*sources: Mapping[str, Frames]) -> list[str]:
    """Numbers in place of names, as many as there are labels."""
    parts = [part.labels for videos in sources for frames in videos.values() for part in frames if part is not None]
    most = max((int(labels.max()) for labels in parts if labels is not None and len(labels)), default=0)
    return [str(number) for number in range(most + 1)]


def read_coco_vid(
    truth: Path, results: Path
) -> tuple[tuple[str, ...], dict[str, list[Instances | None]], dict[str, list[Instances | None]]]:
    """Class names, and by video the truth and the predictions of each frame, in order of `frame_id`.

    Raises:
        FileNotFoundError, ValueError: as `evaluate_vid`.
    """
    content, rows = _read_json(truth), _read_json(results)
    if not isinstance(content, dict) or not {"images", "annotations", "categories", "videos"} <= set(content):
        raise ValueError(f"{truth}: expected CocoVID's videos, images, annotations and categories")
    if isinstance(rows, dict):
        rows = _renumbered(rows, content, results)
    if not isinstance(rows, list):
        raise ValueError(f"{results}: expected a list of COCO results")
    categories = sorted(content["categories"], key=lambda item: item["id"])
    labels = {item["id"]: label for label, item in enumerate(categories)}
    images = {image["id"] for image in content["images"]}
    truths = _grouped(content["annotations"], images, labels, truth)
    found = _grouped(rows, images, labels, results)
    frames = _images_by_video(content)
    true: dict[str, list[Instances | None]] = {}
    predicted: dict[str, list[Instances | None]] = {}
    for video in content["videos"]:
        name = str(video.get("name", video["id"]))
        true[name] = [_truth(truths[number], labels) for number in frames[name]]
        predicted[name] = [_objects(found[number], labels, "score") for number in frames[name]]
    return tuple(item["name"] for item in categories), true, predicted


def _images_by_video(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The ids of each video's images, in order of `frame_id`, by the video's name."""
    names = {video["id"]: str(video.get("name", video["id"])) for video in content["videos"]}
    out: dict[str, list[Any]] = {name: [] for name in names.values()}
    for image in sorted(content["images"], key=lambda item: item.get("frame_id", 0)):
        out[names[image["video_id"]]].append(image["id"])
    return out


def _renumbered(results: Mapping[str, Any], truth: Mapping[str, Any], path: Path) -> list[Any]:
    """Rows of results that list their own videos, images and categories, under the truth's numbers.

    Raises:
        ValueError: other videos, numbers of frames or classes than the truth.
    """
    if not {"images", "annotations", "categories", "videos"} <= set(results):
        raise ValueError(f"{path}: expected a list of COCO results, or videos, images, annotations and categories")
    own, other = _images_by_video(results), _images_by_video(truth)
    for name in set(own) | set(other):
        if len(own.get(name, ())) != len(other.get(name, ())):
            counts = f"{len(own.get(name, ()))} frames, the truth has {len(other.get(name, ()))}"
            raise ValueError(f"{path}: video '{name}' has {counts}")
    images = {a: b for name in own for a, b in zip(own[name], other[name], strict=True)}
    numbers = {item["name"]: item["id"] for item in truth["categories"]}
    unknown = [item["name"] for item in results["categories"] if item["name"] not in numbers]
    if unknown:
        raise ValueError(f"{path}: the truth has no category {', '.join(unknown)}")
    categories = {item["id"]: numbers[item["name"]] for item in results["categories"]}
    return [
        {**row, "image_id": images[row["image_id"]], "category_id": categories[row["category_id"]]}
        for row in results["annotations"]
    ]


def _grouped(rows: list[Any], images: set[Any], labels: Mapping[Any, int], path: Path) -> dict[Any, list[Any]]:
    """The rows by image."""
    out: dict[Any, list[Any]] = defaultdict(list)
    for number, row in enumerate(rows):
        missing = [key for key in ("image_id", "category_id", "bbox") if key not in row]
        if missing:
            raise ValueError(f"{path}, row {number}: '{missing[0]}' is missing")
        if row["image_id"] not in images:
            raise ValueError(f"{path}, row {number}: image {row['image_id']} is not listed in the truth")
        if row["category_id"] not in labels:
            raise ValueError(f"{path}, row {number}: category {row['category_id']} is not listed in the truth")
        out[row["image_id"]].append(row)
    return out


def _objects(rows: list[Any], labels: Mapping[Any, int], score: str | None = None) -> Instances:
    boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float32).reshape(-1, 4)
    boxes = torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)
    scores = None if score is None else torch.tensor([row[score] for row in rows], dtype=torch.float32)
    of = torch.tensor([labels[row["category_id"]] for row in rows], dtype=torch.int64)
    return Instances(boxes, labels=of, scores=scores)


def _truth(rows: list[Any], labels: Mapping[Any, int]) -> Instances:
    objects = _objects(rows, labels)
    objects.ignored = torch.tensor([bool(row.get("iscrowd") or row.get("ignore")) for row in rows], dtype=torch.bool)
    if all("instance_id" in row for row in rows):
        objects.ids = torch.tensor([int(row["instance_id"]) for row in rows], dtype=torch.int64)
    return objects


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not json: {error}") from error
