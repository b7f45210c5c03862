"""What trains on COCO with COCO-stuff's semantic maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fiddle as fdl

from vidperc.data.readers.coco_stuff import read_coco_stuff
from vidperc.data.transforms import Flip, Resize, ResizeRange
from vidperc.engine.experiment import TrainData

from .classes import coco_classes
from .det_data import coco_scoring, training_on


def coco_stuff_training(root: str, scales: Sequence[tuple[int, int]] = ((1333, 800),)) -> TrainData:
    """The images of train2017 with masks and maps, at one of two scales or any between, mirrored or not.

    Args:
        root: holds `annotations/instances_train2017.json`, `train2017` and `stuffthingmaps/train2017`.
        scales: one (longer, shorter) side, or the least and the greatest.
    """
    folder = Path(root)
    records = read_coco_stuff(
        folder / "annotations" / "instances_train2017.json",
        folder / "train2017",
        folder / "stuffthingmaps" / "train2017",
        coco_classes(),
    )
    low, *high = scales
    resize = ResizeRange(low, high[0]) if high else Resize(low)
    return training_on(records, [resize, Flip()])


def on_coco_stuff(config: fdl.Config, *scales: tuple[int, int]) -> fdl.Config:
    """The experiment with these data in `data/coco`; `scales` as of `coco_stuff_training`, 1333 and 800 by default."""
    config.train_data = fdl.Config(coco_stuff_training, "data/coco", scales or ((1333, 800),))
    config.test_data = fdl.Config(coco_scoring, masks=True)
    return config
