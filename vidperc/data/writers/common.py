"""What the writers share: pictures, frames with their truth, whole files or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle_codec

from ...structures import Frame, Instances, VideoRecord
from ..datasets import read_frame, record_length
from ..problems import DataError

QUALITY = 95


def frames_of(record: VideoRecord) -> Iterator[tuple[Frame, Instances]]:
    """The frames of a record with their objects, labelled and with identities.

    Raises:
        DataError: a frame without truth, labels or identities is named.
    """
    for index in range(record_length(record)):
        frame = read_frame(record, index)
        objects = frame.instances
        if objects is None:
            raise DataError(f"{record.name}, frame {index}: there is no truth to write")
        if len(objects) and objects.labels is None:
            raise DataError(f"{record.name}, frame {index}: the objects have no labels")
        yield frame, objects


def write_picture(path: Path, frame: Frame) -> None:
    """A frame as a JPEG (or what the suffix says).

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(frame.array, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
        raise OSError(f"{path}: the picture cannot be written")


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """(H, W) bool as COCO's compressed RLE, its counts as text."""
    encoded = rle_codec.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def xywh(objects: Instances) -> list[list[float]]:
    """Boxes (N, 4) as x, y, width, height, to hundredths of a pixel."""
    boxes = objects.boxes.double().numpy().copy()
    boxes[:, 2:] -= boxes[:, :2]
    return np.round(boxes, 2).tolist()


def flags(objects: Instances) -> list[bool]:
    """Which objects are ignored."""
    return [False] * len(objects) if objects.ignored is None else objects.ignored.tolist()
