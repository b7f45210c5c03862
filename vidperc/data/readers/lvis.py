"""LVIS (https://www.lvisdataset.org): COCO's images with masks of over a thousand classes, some of them rare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...structures import VideoRecord
from .coco import coco_records
from .common import read_json, require_keys


def read_lvis(annotations: str | Path, images: str | Path, classes: Sequence[str] | None = None) -> list[VideoRecord]:
    """A record with masks for each image, which is where its `coco_url` ends, as `train2017/000000000009.jpg`.

    Args:
        annotations: the JSON file, of version 0.5 or 1.
        images: folder with `train2017` and `val2017`.
        classes: names in the order of the labels; all of the file's by default.

    Raises:
        FileNotFoundError: the file. DataError: not of this form, or a class it does not have.
    """
    content = read_json(annotations)
    for row, image in enumerate(content.get("images", ()) if isinstance(content, dict) else ()):
        require_keys(image, ("coco_url",), f"{annotations}: image {row}")
        image["file_name"] = "/".join(str(image["coco_url"]).split("/")[-2:])
    return coco_records(content, str(annotations), images, classes, masks=True)
