"""COCO and BDD100K as data that detectors learn from and are scored on; read when a run is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import fiddle as fdl
import torch

from vidperc.data.datasets import ClipDataset
from vidperc.data.loader import aspect_groups
from vidperc.data.readers.bdd100k import read_bdd100k
from vidperc.data.readers.coco import read_coco
from vidperc.data.transforms import Flip, OneOf, RandomCrop, Resize, ResizeRange, Transform
from vidperc.engine.experiment import TestData, TrainData
from vidperc.evaluation.coco import COCOEvaluator
from vidperc.io import read_coco_detections
from vidperc.structures import Instances, VideoRecord

from .classes import bdd100k_classes, coco_classes
from .vis_data import find_coco_split


def coco_training(
    transforms: Sequence[Transform],
    root: str = "data/coco",
    masks: bool = False,
    *,
    classes: Sequence[str] | None = None,
    times: int = 1,
    keep_empty: bool = False,
) -> TrainData:
    """COCO's images with objects, upright ones and wide ones in batches of their own.

    Args:
        classes: those to learn, all 80 by default.
        times: how often an epoch has each image.
        keep_empty: also those without objects.
    """
    records = read_coco(*find_coco_split(root, "train2017"), classes or coco_classes(), masks)
    return training_on(records, transforms, times=times, keep_empty=keep_empty)


def coco_scoring(root: str = "data/coco", masks: bool = False, *, classes: Sequence[str] | None = None) -> TestData:
    """COCO's validation images, by the AP of boxes or of masks."""
    classes = classes or coco_classes()
    records = read_coco(*find_coco_split(root, "val2017"), classes, masks)
    return TestData(records, partial(COCOEvaluator, classes, "segm" if masks else "bbox"), "AP")


def coco_regions_scoring(root: str = "data/coco") -> TestData:
    """COCO's validation images, by the average recall of 1000 regions of any class."""
    records = as_one_class(read_coco(*find_coco_split(root, "val2017"), coco_classes()))
    # The evaluator's third limit, which it calls AR100, is 1000 here.
    return TestData(records, partial(COCOEvaluator, ("object",), max_detections=1000), "AR100")


def coco_proposals_training(
    transforms: Sequence[Transform],
    root: str = "data/coco",
    proposals: str = "proposals/rpn_r50_fpn_1x_train2017.json",
) -> TrainData:
    """COCO's images with objects and the 2000 best proposals of each, in COCO's result format, below `root`."""
    records = read_coco(*find_coco_split(root, "train2017"), coco_classes())
    return training_on(with_proposals(records, Path(root) / proposals, 2000), transforms)


def coco_proposals_scoring(
    root: str = "data/coco", proposals: str = "proposals/rpn_r50_fpn_1x_val2017.json"
) -> TestData:
    """COCO's validation images with their proposals, by the AP of boxes."""
    records = read_coco(*find_coco_split(root, "val2017"), coco_classes())
    return TestData(with_proposals(records, Path(root) / proposals), partial(COCOEvaluator, coco_classes()), "AP")


def with_proposals(records: Sequence[VideoRecord], path: str | Path, count: int | None = None) -> list[VideoRecord]:
    """The records, each image with its `count` best regions of a file as its detections."""
    places = {record.attributes["image_id"]: place for place, record in enumerate(records)}
    found = read_coco_detections(path, places)  # type: ignore[arg-type]
    none = Instances.empty()
    return [
        replace(record, detections={0: _best(found.get(place, none), count)}) for place, record in enumerate(records)
    ]


def _best(found: Instances, count: int | None) -> Instances:
    assert found.scores is not None
    return found[found.scores.argsort(descending=True, stable=True)[:count]]


def as_one_class(records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """The records, all their objects of class 0."""
    return [
        replace(record, classes=("object",), instances={i: _unlabelled(part) for i, part in record.instances.items()})
        for record in records
    ]


def _unlabelled(objects: Instances) -> Instances:
    return objects.replace(labels=torch.zeros(len(objects), dtype=torch.int64))


def bdd100k_training(transforms: Sequence[Transform], root: str = "data/bdd100k") -> TrainData:
    """BDD100K's images with objects."""
    return training_on(_bdd100k(root, "train"), transforms)


def bdd100k_scoring(root: str = "data/bdd100k") -> TestData:
    """BDD100K's validation images, by AP."""
    return TestData(_bdd100k(root, "val"), partial(COCOEvaluator, bdd100k_classes()), "AP")


def training_on(
    records: Sequence[VideoRecord], transforms: Sequence[Transform], *, times: int = 1, keep_empty: bool = False
) -> TrainData:
    """Images to learn from, upright ones and wide ones in batches of their own, each `times` in an epoch."""
    dataset = ClipDataset(records, transforms=transforms, keep_empty=keep_empty)
    repeats = None if times == 1 else [float(times)] * len(dataset)
    return TrainData(dataset, repeats=repeats, groups=aspect_groups(dataset))


def _bdd100k(root: str, split: str) -> list[VideoRecord]:
    folder = Path(root)
    return read_bdd100k(folder / f"labels/det_20/det_{split}.json", folder / f"images/100k/{split}", bdd100k_classes())


def on_coco(config: fdl.Config, resize: fdl.Config | None = None) -> fdl.Config:
    """The experiment with COCO's images, whose sides `resize` sets: 1333 and 800 by default."""
    transforms = [resize or fdl.Config(Resize, (1333, 800)), fdl.Config(Flip)]
    return on_changed_coco(config, transforms, has_masks(config))


def on_coco_regions(config: fdl.Config) -> fdl.Config:
    """The experiment of a network that proposes regions, with COCO's images, whatever the classes of their objects."""
    config.train_data = fdl.Config(coco_training, [fdl.Config(Resize, (1333, 800)), fdl.Config(Flip)])
    config.test_data = fdl.Config(coco_regions_scoring)
    return config


def on_coco_proposals(config: fdl.Config) -> fdl.Config:
    """The experiment of a detector whose regions come with COCO's images."""
    config.train_data = fdl.Config(coco_proposals_training, [fdl.Config(Resize, (1333, 800)), fdl.Config(Flip)])
    config.test_data = fdl.Config(coco_proposals_scoring)
    return config


def has_masks(config: fdl.Config) -> bool:
    """Whether the detector learns masks."""
    return getattr(getattr(config.model, "roi_head", None), "mask", None) is not None


def on_changed_coco(
    config: fdl.Config, transforms: Sequence[fdl.Config], masks: bool = False, **data: Any
) -> fdl.Config:
    """The experiment with COCO's images, changed by `transforms` to learn from; `data` as of `coco_training`."""
    classes = {} if config.classes == coco_classes() else {"classes": config.classes}
    config.train_data = fdl.Config(coco_training, transforms, masks=masks, **classes, **data)
    config.test_data = fdl.Config(coco_scoring, masks=masks, **classes)
    return config


def on_crops_of_coco(config: fdl.Config, side: int = 640) -> fdl.Config:
    """The experiment with square crops of COCO's images, which are 0.8 to 1.2 times as large before."""
    scales = [(scale, scale) for scale in range(int(0.8 * side), int(1.2 * side))]
    transforms = [fdl.Config(Resize, scales), fdl.Config(RandomCrop, (side, side)), fdl.Config(Flip)]
    return on_changed_coco(config, transforms, has_masks(config))


def on_bdd100k(config: fdl.Config, transforms: Sequence[fdl.Config] | None = None) -> fdl.Config:
    """The experiment with BDD100K's images, in their own size by default; `transforms` come before the mirroring."""
    config.train_data = fdl.Config(bdd100k_training, [*(transforms or ()), fdl.Config(Flip)])
    config.test_data = fdl.Config(bdd100k_scoring)
    return config


def on_bdd100k_by_length(config: fdl.Config) -> fdl.Config:
    """The experiment with BDD100K's images, which more than 12 epochs see in several sizes."""
    sides = one_short_side(600, 624, 648, 672, 696, 720, longest=1280)
    return on_bdd100k(config, [sides] if config.schedule.epochs > 12 else None)


def any_short_side(low: int = 640, high: int = 800) -> fdl.Config:
    """A shorter side drawn from a range for each image (`mstrain-range`)."""
    return fdl.Config(ResizeRange, (1333, low), (1333, high))


def six_short_sides() -> fdl.Config:
    """The shorter sides of most published detectors that learn from several."""
    return one_short_side(640, 672, 704, 736, 768, 800)


def one_short_side(*sides: int, longest: int = 1333) -> fdl.Config:
    """One of some shorter sides for each image (`mstrain`)."""
    return fdl.Config(Resize, [(longest, side) for side in sides])


def strong_augmentation(longest: int = 1333) -> fdl.Config:
    """One of eleven shorter sides, for half of the images that of a crop (DETR's, https://arxiv.org/abs/2005.12872).

    `longest` bounds the longer side before the crop.
    """
    resize = one_short_side(*range(480, 801, 32))
    crop = fdl.Config(RandomCrop, (384, 384), (600, 600), keep_objects=False)
    return fdl.Config(OneOf, [[resize], [one_short_side(400, 500, 600, longest=longest), crop, resize]])
