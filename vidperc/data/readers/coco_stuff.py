"""COCO-stuff (https://arxiv.org/abs/1612.03716): COCO's images with the class of every pixel beside their objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ...structures import Frame, VideoRecord
from ..problems import DataError
from .coco import read_coco
from .common import require_folder

SOURCE = "the PNG maps of COCO-stuff (stuffthingmaps_trainval2017.zip), one for each picture"


def read_coco_stuff(
    annotations: str | Path, images: str | Path, maps: str | Path, classes: Sequence[str] | None = None
) -> list[VideoRecord]:
    """A record of one frame for each image, with masks and with the semantic map that is read beside it.

    Args:
        annotations, images, classes: as `read_coco`.
        maps: folder of grey pictures named as the images, `.png`; a pixel's value is its class, 255 unknown.

    Raises:
        FileNotFoundError: the annotations, or the folder of the maps. DataError: an image without a map; else as
            `read_coco`.
    """
    folder = require_folder(maps, SOURCE)
    records = read_coco(annotations, images, classes, masks=True)
    there = {path.stem for path in folder.glob("*.png")}
    missing = [record.name for record in records if Path(record.name).stem not in there]
    if missing:
        raise DataError(f"{folder}: {len(missing)} of {len(records)} images have no map, as {missing[0]}; {SOURCE}")
    return [_with_map(record, folder / f"{Path(record.name).stem}.png") for record in records]


def _with_map(record: VideoRecord, path: Path) -> VideoRecord:
    assert record.load is not None
    return replace(record, load=SemanticFrame(record.load, path))


@dataclass
class SemanticFrame:
    """Reads a frame, and the semantic map that belongs to it."""

    load: Callable[[int], Frame]
    path: Path

    def __call__(self, index: int) -> Frame:
        frame = self.load(index)
        return replace(frame, semantic=read_semantic_map(self.path, frame.size))


def read_semantic_map(path: str | Path, size: tuple[int, int]) -> torch.Tensor:
    """The values of a picture of one channel, (H, W) uint8.

    Raises:
        FileNotFoundError: no such file. DataError: of colours, or of another size than the frame's (height, width).
    """
    with Image.open(path) as picture:
        if picture.mode not in ("L", "P"):
            raise DataError(f"{path}: a map has one channel of 8 bits, not {picture.mode}")
        values = np.array(picture)
    if values.shape != size:
        raise DataError(f"{path}: a map of {values.shape[1]}x{values.shape[0]} on a frame of {size[1]}x{size[0]}")
    return torch.from_numpy(values)
