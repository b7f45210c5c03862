"""Detections of images scored against a benchmark's own annotation file, with its ids, areas and crowds.

The truth is COCO's dictionary of images, annotations and categories: as the file has it, or made of Scalabel's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .coco import METRICS, Backend, Kind, numbered, recalls, run_cocoeval, summary
from .scalabel import category_of, is_region, read_frames

PROPOSAL_LIMITS = (100, 300, 1000)
PROPOSAL_METRICS = ("AR100", "AR300", "AR1000", "ARs", "ARm", "ARl")


def coco_truth(path: str | Path, classes: Sequence[str] | None = None) -> dict[str, Any]:
    """The images, annotations and categories of COCO's file; only those of `classes`, and in their order.

    Raises:
        ValueError: not of this form, or a class it does not have; names the file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        categories = {category["name"]: category for category in content["categories"]}
        images, annotations = content["images"], content["annotations"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected COCO's images, annotations and categories: {error}") from error
    missing = [name for name in classes or () if name not in categories]
    if missing:
        raise ValueError(f"{path} has no category {', '.join(missing)}; there is {', '.join(list(categories)[:10])}")
    chosen = list(categories.values()) if classes is None else [categories[name] for name in classes]
    ids = {category["id"] for category in chosen}
    own = [annotation for annotation in annotations if annotation["category_id"] in ids]
    return {"images": images, "annotations": own, "categories": chosen}


def scalabel_truth(path: str | Path, classes: Sequence[str]) -> dict[str, Any]:
    """The same of Scalabel's frames, images numbered from 1.

    x2 and y2 name the last pixel of a box; crowds and objects marked as ignored count as crowds.

    Raises:
        ValueError: not of this form; names the file.
    """
    numbers = {name: number for number, name in enumerate(classes, 1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, frame in enumerate(read_frames(Path(path)), 1):
        images.append({"id": image, "file_name": frame["name"], "height": 0, "width": 0})
        for label in frame.get("labels") or []:
            category, box = category_of(label), label.get("box2d")
            if category not in numbers or not box:
                continue
            sides = [box["x2"] - box["x1"] + 1, box["y2"] - box["y1"] + 1]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image, "category_id": numbers[category],
                    "bbox": [box["x1"], box["y1"], *sides], "area": sides[0] * sides[1],
                    "iscrowd": int(is_region(label)),
                }
            )  # fmt: skip
    return {"images": images, "annotations": annotations, "categories": numbered(classes)}


def only_images(truth: Mapping[str, Any], ids: Sequence[int]) -> dict[str, Any]:
    """A truth without the other images."""
    kept = set(ids)
    images = [image for image in truth["images"] if image["id"] in kept]
    annotations = [annotation for annotation in truth["annotations"] if annotation["image_id"] in kept]
    return {**truth, "images": images, "annotations": annotations}


def score_detections(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    kinds: Sequence[Kind] = ("bbox",),
    backend: Backend = "pycocotools",
) -> dict[str, float]:
    """COCO's twelve numbers of boxes; those of masks have names that begin with `mask_`."""
    scores: dict[str, float] = {}
    for kind in kinds:
        run = run_cocoeval(truth, results, kind, backend=backend)
        scores |= {("mask_" if kind == "segm" else "") + name: value for name, value in zip(METRICS, summary(run))}
    return scores


def score_proposals(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], backend: Backend = "pycocotools"
) -> dict[str, float]:
    """Average recall of regions, whatever the class, with 100, 300 and 1000 an image, and by size with 1000."""
    run = run_cocoeval(truth, results, "bbox", PROPOSAL_LIMITS, by_class=False, backend=backend)
    return dict(zip(PROPOSAL_METRICS, recalls(run)))
