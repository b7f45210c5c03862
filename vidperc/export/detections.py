"""Detections of images as the files that benchmarks take: COCO's results and Scalabel's frames (BDD100K)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from ..io.whole_files import write_json
from ..structures.masks import RLE


class FrameDetections(TypedDict, total=False):
    """The detections of one picture as plain values."""

    boxes: list[list[float]]  # xyxy in pixels
    labels: list[int]
    scores: list[float]
    masks: list[RLE]  # only of models that give masks
    mask_scores: list[float]  # only where masks have scores of their own


def coco_rows(image_id: int, found: FrameDetections, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of COCO's result format (https://cocodataset.org/#format-results): bbox is x, y, width, height.

    Where masks have scores of their own, a row has `mask_score` too, by which its mask ranks.

    Args:
        category_ids: of each label; they may have gaps.
    """
    rows: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "category_id": category_ids[label],
            "bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)],
            "score": score,
        }
        for (x0, y0, x1, y1), label, score in zip(found["boxes"], found["labels"], found["scores"], strict=True)
    ]
    for row, mask in zip(rows, found.get("masks", ())):
        row["segmentation"] = mask
    for row, score in zip(rows, found.get("mask_scores", ())):
        row["mask_score"] = score
    return rows


def write_coco_results(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    """`results.bbox.json`, and `results.segm.json` where the rows have masks: what COCO's server takes."""
    boxes = [_without(row, "segmentation", "mask_score") for row in rows]
    masks = [
        {**_without(row, "bbox", "mask_score"), "score": row.get("mask_score", row["score"])}
        for row in rows
        if "segmentation" in row
    ]
    written = [_write(folder / "results.bbox.json", boxes)]
    return [*written, _write(folder / "results.segm.json", masks)] if masks else written


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in names}


def scalabel_frames(
    frames: Iterable[tuple[str, FrameDetections]], classes: Sequence[str], video: str | None = None
) -> list[dict[str, Any]]:
    """Scalabel's frames (https://doc.scalabel.com/format.html) of pictures by name.

    `box2d` names the last pixel of a box, x2 and y2 are its right and lower edge less 1. Masks are `rle`.

    Args:
        video: name of the video that the pictures are the frames of, in order.
    """
    out = []
    for index, (name, found) in enumerate(frames):
        labels: list[dict[str, Any]] = [
            {
                "id": str(number),
                "category": classes[label],
                "score": score,
                "box2d": {"x1": x0, "y1": y0, "x2": round(x1 - 1, 3), "y2": round(y1 - 1, 3)},
            }
            for number, ((x0, y0, x1, y1), label, score) in enumerate(
                zip(found["boxes"], found["labels"], found["scores"], strict=True), 1
            )
        ]
        for label, mask in zip(labels, found.get("masks", ())):
            label["rle"] = mask
        frame: dict[str, Any] = {"name": name, "labels": labels}
        out.append(frame if video is None else {**frame, "videoName": video, "frameIndex": index})
    return out


def write_scalabel(folder: Path, frames: Sequence[Mapping[str, Any]]) -> list[Path]:
    """`results.scalabel.json`: what BDD100K's server takes."""
    return [_write(folder / "results.scalabel.json", frames)]


def _write(path: Path, content: Any) -> Path:
    write_json(path, content)
    return path
