"""SSD (https://arxiv.org/abs/1512.02325)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights
from vidperc.data.transforms import Expand, Flip, MinIoUCrop, PhotometricDistortion, Resize
from vidperc.engine.schedule import Schedule
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.backbones.vgg import SSDVGG16
from vidperc.image.box_coders import DeltaCoder, LegacyDeltaCoder
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.ssd import LegacySSDAnchors, SSDAnchors, SSDCriterion, SSDPostprocessor, SSDPredictor
from vidperc.image.necks.ssd import SSDNeck

from ..common.classes import coco_classes
from ..common.dense import sgd, single_stage
from ..common.det_data import on_changed_coco
from ..common.models import preprocessor
from ..common.other_data import on_wider_face
from ..common.schedules import schedule_2x


def _ssd300_anchors(kind: Any = SSDAnchors) -> fdl.Config:
    """8732 anchors on six levels."""
    ratios = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
    return fdl.Config(kind, strides=(8, 16, 32, 64, 100, 300), ratios=ratios)


def _ssd512_anchors() -> fdl.Config:
    """24564 anchors on seven levels."""
    ratios = ((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,))
    strides = (8, 16, 32, 64, 128, 256, 512)
    return fdl.Config(SSDAnchors, strides=strides, ratios=ratios, input_size=512, first=(0.04, 0.1), rest=(0.1, 0.9))


def _ssd_coder(kind: Any = DeltaCoder) -> fdl.Config:
    return fdl.Config(kind, stds=(0.1, 0.1, 0.2, 0.2))


def _ssd(
    size: int, anchors: fdl.Config, coder: fdl.Config, classes: tuple[str, ...], extra: tuple[int, ...], **neck: Any
) -> fdl.Config:
    """The path of the VGG-16's ImageNet weights is given as `initial.backbone`."""
    counts = [2 + 2 * len(level) for level in anchors.ratios]
    assigner = fdl.Config(MaxIoUAssigner, positive=0.5, negative=0.5, all_best=False)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(
            SSDPredictor, classes=len(classes), in_channels=(512, 1024, *extra), anchors=tuple(counts)
        ),
        priors=anchors,
        criterion=fdl.Config(SSDCriterion, assigner=assigner, coder=coder),
        postprocessor=fdl.Config(
            SSDPostprocessor, coder=coder, score_threshold=0.02, iou_threshold=0.45, max_detections=200
        ),
    )
    config = single_stage(
        head,
        backbone=fdl.Config(SSDVGG16),
        neck=fdl.Config(SSDNeck, out_channels=extra, **neck),
        preprocess=preprocessor((size, size), keep_ratio=False, std=(1.0, 1.0, 1.0), pad_divisor=1),
        classes=classes,
        schedule=schedule_2x(optimizer=sgd(0.002, weight_decay=5e-4), batch_size=64),
    )
    config.initial = fdl.Config(InitialWeights)
    return config


def _crops(size: int) -> list[fdl.Config]:
    """Zoomed out and in, all in one size."""
    return [
        fdl.Config(Expand),
        fdl.Config(MinIoUCrop),
        fdl.Config(Resize, (size, size), keep_ratio=False),
        fdl.Config(Flip),
    ]


def _ssd300(classes: tuple[str, ...]) -> fdl.Config:
    return _ssd(300, _ssd300_anchors(), _ssd_coder(), classes, (512, 256, 256, 256))


def _on_coco(config: fdl.Config, size: int) -> fdl.Config:
    return on_changed_coco(config, [*_crops(size), fdl.Config(PhotometricDistortion)], times=5)


def ssd300_coco() -> fdl.Config:
    return _on_coco(_ssd300(coco_classes()), 300)


def ssd512_coco() -> fdl.Config:
    config = _ssd(
        512,
        _ssd512_anchors(),
        _ssd_coder(),
        coco_classes(),
        (512, 256, 256, 256, 256),
        strides=(2, 2, 2, 2, 1),
        paddings=(1, 1, 1, 1, 1),
        kernels=(3, 3, 3, 3, 4),
    )
    return _on_coco(config, 512)


def ssd300_coco_v1() -> fdl.Config:
    """A checkpoint from before 2020, when the last row and column counted as inside a box."""
    anchors, coder = _ssd300_anchors(LegacySSDAnchors), _ssd_coder(LegacyDeltaCoder)
    config = _ssd(300, anchors, coder, coco_classes(), (512, 256, 256, 256))
    return on_changed_coco(config, [fdl.Config(PhotometricDistortion), *_crops(300)], times=5)


def ssd300_wider_face() -> fdl.Config:
    """WIDER Face."""
    config = _ssd300(("face",))
    config.schedule = fdl.Config(
        Schedule,
        epochs=24,
        milestones=(16, 20),
        warmup_iterations=1000,
        batch_size=60,
        clip_norm=35.0,
        optimizer=sgd(0.012, weight_decay=5e-4),
    )
    return on_wider_face(config, [fdl.Config(PhotometricDistortion), *_crops(300)])
