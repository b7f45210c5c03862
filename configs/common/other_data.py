"""PASCAL VOC, Cityscapes, LVIS, DeepFashion and WIDER FACE as data that detectors learn from and are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import fiddle as fdl

from vidperc.data.datasets import ClipDataset
from vidperc.data.loader import aspect_groups, repeat_factors
from vidperc.data.readers.coco import read_coco
from vidperc.data.readers.lvis import read_lvis
from vidperc.data.readers.pascal import read_voc
from vidperc.data.readers.wider_face import read_wider_face
from vidperc.data.transforms import Flip, Resize, ResizeRange, Transform
from vidperc.engine.experiment import TestData, TrainData
from vidperc.evaluation.coco import COCOEvaluator
from vidperc.evaluation.voc import VOCEvaluator
from vidperc.structures import VideoRecord

from .classes import cityscapes_classes, deepfashion_classes, voc_classes
from .det_data import has_masks, six_short_sides, training_on


def voc_training(transforms: Sequence[Transform], root: str = "data/VOCdevkit") -> TrainData:
    """The images for training and validation of 2007 and 2012, three times in an epoch."""
    records = [record for year in (2007, 2012) for record in read_voc(Path(root) / f"VOC{year}", "trainval")]
    return training_on(records, transforms, times=3)


def voc_scoring(root: str = "data/VOCdevkit") -> TestData:
    """The test images of 2007, by that year's mean AP."""
    evaluator = partial(VOCEvaluator, voc_classes(), eleven_points=True)
    return TestData(read_voc(Path(root) / "VOC2007", "test"), evaluator, "mAP")


def on_voc(config: fdl.Config) -> fdl.Config:
    """The experiment with PASCAL VOC's images."""
    config.train_data = fdl.Config(voc_training, [fdl.Config(Resize, (1000, 600)), fdl.Config(Flip)])
    config.test_data = fdl.Config(voc_scoring)
    return config


def cityscapes_training(
    transforms: Sequence[Transform], root: str = "data/cityscapes", masks: bool = False
) -> TrainData:
    """The images with fine annotations, eight times in an epoch."""
    return training_on(_cityscapes(root, "train", masks), transforms, times=8)


def cityscapes_scoring(root: str = "data/cityscapes", masks: bool = False) -> TestData:
    """The validation images, by COCO's AP of boxes or of masks."""
    evaluator = partial(COCOEvaluator, cityscapes_classes(), "segm" if masks else "bbox")
    return TestData(_cityscapes(root, "val", masks), evaluator, "AP")


def _cityscapes(root: str, split: str, masks: bool) -> list[VideoRecord]:
    """From annotations that were converted to COCO's form."""
    file = Path(root) / "annotations" / f"instancesonly_filtered_gtFine_{split}.json"
    return read_coco(file, Path(root) / "leftImg8bit" / split, cityscapes_classes(), masks)


def on_cityscapes(config: fdl.Config) -> fdl.Config:
    """The experiment with Cityscapes' images, their shorter sides anything from 800 to 1024."""
    masks = has_masks(config)
    transforms = [fdl.Config(ResizeRange, (2048, 800), (2048, 1024)), fdl.Config(Flip)]
    config.train_data = fdl.Config(cityscapes_training, transforms, masks=masks)
    config.test_data = fdl.Config(cityscapes_scoring, masks=masks)
    return config


def deepfashion_training(transforms: Sequence[Transform], root: str = "data/DeepFashion/In-shop") -> TrainData:
    """The query images of the in-shop benchmark."""
    return training_on(_deepfashion(root, "query"), transforms)


def deepfashion_scoring(root: str = "data/DeepFashion/In-shop") -> TestData:
    """The gallery images, by the AP of masks."""
    evaluator = partial(COCOEvaluator, deepfashion_classes(), "segm")
    return TestData(_deepfashion(root, "gallery"), evaluator, "AP")


def _deepfashion(root: str, part: str) -> list[VideoRecord]:
    file = Path(root) / "annotations" / f"DeepFashion_segmentation_{part}.json"
    return read_coco(file, Path(root) / "Img", deepfashion_classes(), masks=True)


def on_deepfashion(config: fdl.Config) -> fdl.Config:
    """The experiment with DeepFashion's images."""
    config.train_data = fdl.Config(deepfashion_training, [fdl.Config(Resize, (1101, 750)), fdl.Config(Flip)])
    config.test_data = fdl.Config(deepfashion_scoring)
    return config


def lvis_training(
    transforms: Sequence[Transform], annotations: str, root: str, classes: Sequence[str] | None = None
) -> TrainData:
    """Images with masks, those of rare classes more often.

    Args:
        annotations: below `root`, as the images in `train2017` and `val2017`.
        classes: all of the file's by default.
    """
    dataset = ClipDataset(read_lvis(Path(root) / annotations, root, classes), transforms=transforms)
    repeats = repeat_factors([dataset.labels(number) for number in range(len(dataset))])
    return TrainData(dataset, repeats=repeats, groups=aspect_groups(dataset))


def on_lvis(config: fdl.Config, root: str, annotations: str, classes: Sequence[str] | None = None) -> fdl.Config:
    """The experiment with LVIS' images to learn from; nothing here computes its scores."""
    transforms = [six_short_sides(), fdl.Config(Flip)]
    config.train_data = fdl.Config(lvis_training, transforms, annotations, root, classes)
    return config


def wider_face_training(transforms: Sequence[Transform], root: str = "data/WIDERFace") -> TrainData:
    """The pictures with faces of at least 17 pixels, twice in an epoch."""
    return training_on(read_wider_face(root, "train", min_side=17), transforms, times=2)


def wider_face_scoring(root: str = "data/WIDERFace") -> TestData:
    """The validation pictures, by PASCAL VOC's AP of all faces."""
    return TestData(read_wider_face(root, "val"), partial(VOCEvaluator, ("face",)), "mAP")


def on_wider_face(config: fdl.Config, transforms: Sequence[fdl.Config]) -> fdl.Config:
    """The experiment with WIDER FACE's pictures, changed by `transforms` to learn from."""
    config.train_data = fdl.Config(wider_face_training, transforms)
    config.test_data = fdl.Config(wider_face_scoring)
    return config
