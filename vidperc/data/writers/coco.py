"""COCO and CocoVID: `annotations.json` and pictures in `images/VIDEO/`; videos are listed and tracks have ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...io.whole_files import write_json
from ...structures import Frame, Instances, VideoRecord
from .common import encode_mask, flags, frames_of, write_picture, xywh


def write_coco(records: Sequence[VideoRecord], out: str | Path) -> Path:
    """Write videos; plain COCO readers see their frames as images. Gives the JSON file."""
    out = Path(out)
    classes = records[0].classes if records else ()
    content: dict[str, Any] = {
        "videos": [], "images": [], "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }  # fmt: skip
    tracks: dict[tuple[str, int], int] = {}
    for video, record in enumerate(records, 1):
        content["videos"].append({"id": video, "name": record.name, "fps": record.fps})
        for index, (frame, objects) in enumerate(frames_of(record)):
            name = f"{record.name}/{index:06d}.jpg"
            write_picture(out / "images" / name, frame)
            image = {
                "id": len(content["images"]) + 1, "file_name": name, "height": frame.size[0], "width": frame.size[1],
                "video_id": video, "frame_id": index,
            }  # fmt: skip
            content["images"].append(image)
            ids = range(len(objects)) if objects.ids is None else objects.ids.tolist()
            numbers = [tracks.setdefault((record.name, key), len(tracks) + 1) for key in ids]
            content["annotations"] += _annotations(frame, objects, image, numbers, len(content["annotations"]))
    write_json(out / "annotations.json", content)
    return out / "annotations.json"


def _annotations(
    frame: Frame, objects: Instances, image: dict[str, Any], tracks: list[int], written: int
) -> list[dict[str, Any]]:
    labels = [] if objects.labels is None else objects.labels.tolist()
    out = []
    for row, (box, label, ignored, track) in enumerate(zip(xywh(objects), labels, flags(objects), tracks)):
        area = box[2] * box[3]
        annotation = {
            "id": written + row + 1, "image_id": image["id"], "video_id": image["video_id"], "category_id": label + 1,
            "instance_id": track, "bbox": box, "area": area, "iscrowd": int(ignored),
        }  # fmt: skip
        if objects.masks is not None:
            mask = objects.masks[row].numpy()
            annotation["segmentation"], annotation["area"] = encode_mask(mask), float(mask.sum())
        out.append(annotation)
    return out
