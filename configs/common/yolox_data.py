"""What YOLOX learns from: mosaics mixed with another picture, in the last epochs pictures as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vidperc.data.datasets import ClipDataset
from vidperc.data.readers.coco import read_coco
from vidperc.data.transforms import Flip, HSVJitter, MixUp, Mosaic, RandomAffine, Resize, Transform
from vidperc.data.transforms.geometry import Crop, crop_frame
from vidperc.engine.experiment import TrainData
from vidperc.structures import VideoRecord

from .classes import coco_classes
from .vis_data import find_coco_split
from .yolox import GREY

FILL = (GREY, GREY, GREY)
ALL_OF_A_PIXEL = {"min_side": 1.0, "min_area": 0.0, "max_aspect": math.inf}  # the published trainings keep slivers


def mosaics(
    records: list[VideoRecord],
    size: tuple[int, int],
    steps: tuple[int, int],
    *,
    factors: tuple[float, float] = (0.1, 2.0),
    mixup: bool = True,
    last_epochs: float = 15,
    crop: Crop = crop_frame,
) -> TrainData:
    """Mosaics of pictures of (height, width), turned, scaled and mixed, in a size drawn for each.

    Args:
        steps: least and largest height, in steps of 32 pixels.
        factors: of the scale.
        mixup: whether another picture is mixed in.
        last_epochs: of pictures without all this.
        crop: what boxes become at the borders of pictures.
    """
    joined: list[Transform] = [
        Mosaic(size, fill=FILL, crop=crop),
        RandomAffine(factors, border=(-size[0] // 2, -size[1] // 2), fill=FILL, crop=crop, **ALL_OF_A_PIXEL),
        *([MixUp(factors=(0.8, 1.6), fill=FILL, crop=crop)] if mixup else []),
    ]
    plain: list[Transform] = [HSVJitter(), Flip(), Resize(sizes_of_steps(size, steps))]
    return TrainData(
        ClipDataset(records, transforms=[*joined, *plain], keep_empty=True),
        last=ClipDataset(records, transforms=plain, keep_empty=True),
        last_epochs=last_epochs,
    )


def sizes_of_steps(size: tuple[int, int], steps: Sequence[int]) -> list[tuple[int, int]]:
    """(width, height) of the shape of `size` (height, width), both in whole steps of 32 pixels."""
    return [(32 * int(step * size[1] / size[0]), 32 * step) for step in range(steps[0], steps[1] + 1)]


def coco_mosaics(
    root: str = "data/coco",
    steps: tuple[int, int] = (15, 25),
    factors: tuple[float, float] = (0.1, 2.0),
    mixup: bool = True,
) -> TrainData:
    """COCO in mosaics of 640 x 640."""
    records = read_coco(*find_coco_split(root, "train2017"), coco_classes())
    return mosaics(records, (640, 640), steps, factors=factors, mixup=mixup)
