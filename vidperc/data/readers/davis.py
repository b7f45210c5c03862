"""DAVIS 2016 and 2017 (https://davischallenge.org): folders of frames and of masks as indexed pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.ops import masks_to_boxes

from ...io import read_image
from ...structures import Frame, Instances, VideoRecord
from ..problems import DataError
from .common import require_folder


def read_davis(
    root: str | Path, sequences: Sequence[str] | None = None, resolution: str | None = None
) -> list[VideoRecord]:
    """A record per sequence. Objects have no class (label 0, "object"); their ids are the masks' colours.

    Masks of DAVIS 2016, black and white, are one object of id 1. Frames without a mask picture have no truth.

    Args:
        root: holds `JPEGImages` and `Annotations`.
        sequences: names; all by default.
        resolution: folder between those and the sequences ("480p"); found where there is just that one.

    Raises:
        FileNotFoundError: a folder. DataError: a sequence without frames.
    """
    root = require_folder(root, "JPEGImages and Annotations")
    images = require_folder(root / "JPEGImages", "the sequences' frames")
    resolution = resolution or next((n for n in ("480p", "Full-Resolution") if (images / n).is_dir()), "")
    images, masks = images / resolution, root / "Annotations" / resolution
    names = sorted(path.name for path in images.iterdir() if path.is_dir()) if sequences is None else sequences
    return [_record(name, images / name, masks / name) for name in names]


def _record(name: str, images: Path, masks: Path) -> VideoRecord:
    require_folder(images, f"the frames of {name}")
    frames: list[str | Path] = [*sorted(p for p in images.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))]
    if not frames:
        raise DataError(f"{images}: no frames")
    with Image.open(frames[0]) as first:
        size = (first.height, first.width)
    return VideoRecord(
        name=name, frames=frames, length=len(frames), size=size, classes=("object",),
        load=DavisFrames(frames, [masks / f"{Path(frame).stem}.png" for frame in frames]),
    )  # fmt: skip


@dataclass
class DavisFrames:
    """Reads frames with the masks of their objects."""

    frames: Sequence[str | Path]
    masks: Sequence[Path]

    def __call__(self, index: int) -> Frame:
        path = self.frames[index]
        frame = Frame.from_array(read_image(path), index, name=str(path))
        if self.masks[index].is_file():
            frame.instances = read_indexed_masks(self.masks[index], frame.size)
        return frame


def read_indexed_masks(path: str | Path, size: tuple[int, int]) -> Instances:
    """The objects of a picture of indices (0 is background, 255 void), or of a black and white one.

    Raises:
        DataError: it is of another size than the frame's (height, width).
    """
    with Image.open(path) as picture:
        indices = np.asarray(picture if picture.mode in ("P", "L") else picture.convert("L"))
    if indices.shape != size:
        raise DataError(f"{path}: a mask of {indices.shape[1]}x{indices.shape[0]} on a frame of {size[1]}x{size[0]}")
    values = np.unique(indices)
    if set(values.tolist()) <= {0, 255}:
        indices, values = (indices > 0).astype(np.uint8), np.asarray([1] if 255 in values else [])
    ids = torch.as_tensor([int(value) for value in values if value not in (0, 255)], dtype=torch.int64)
    masks = torch.from_numpy(np.array(indices))[None] == ids[:, None, None]
    boxes = masks_to_boxes(masks) if len(ids) else torch.zeros(0, 4)
    boxes[:, 2:] += 1
    return Instances(boxes=boxes, labels=torch.zeros_like(ids), ids=ids, masks=masks)
