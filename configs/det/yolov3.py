"""YOLOv3 (https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights
from vidperc.data.transforms import Expand, Flip, MinIoUCrop, PhotometricDistortion, ResizeRange
from vidperc.engine.schedule import Schedule
from vidperc.image.backbones.darknet import DarkNet53
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.yolov3 import (
    YOLOAnchors,
    YOLOAssigner,
    YOLOCoder,
    YOLOv3Criterion,
    YOLOv3Postprocessor,
    YOLOv3Predictor,
)
from vidperc.image.necks.yolov3 import YOLOv3Neck

from ..common.dense import sgd, single_stage
from ..common.det_data import on_changed_coco
from ..common.models import preprocessor

SIZES = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)


def _yolov3(side: int) -> fdl.Config:
    """Learns from images of which the longer side is between 320 pixels and `side`.

    The path of the DarkNet's ImageNet weights is given as `initial.backbone`.
    """
    anchors, coder = fdl.Config(YOLOAnchors, strides=(8, 16, 32), sizes=SIZES), fdl.Config(YOLOCoder)
    assigner = fdl.Config(YOLOAssigner, anchors=anchors)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(YOLOv3Predictor, classes=80),
        priors=anchors,
        criterion=fdl.Config(YOLOv3Criterion, assigner=assigner, anchors=anchors, coder=coder),
        postprocessor=fdl.Config(YOLOv3Postprocessor, coder=coder, anchors=anchors),
    )
    config = single_stage(
        head,
        backbone=fdl.Config(DarkNet53),
        neck=fdl.Config(YOLOv3Neck),
        preprocess=preprocessor((side, side), mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0)),
        schedule=fdl.Config(
            Schedule,
            epochs=273,
            milestones=(218, 246),
            warmup_iterations=2000,
            warmup_ratio=0.1,
            batch_size=64,
            clip_norm=35.0,
            optimizer=sgd(0.001, weight_decay=5e-4),
        ),
    )
    config.initial = fdl.Config(InitialWeights)
    transforms = [
        fdl.Config(Expand, (1.0, 2.0), fill=(0.0, 0.0, 0.0)),
        fdl.Config(MinIoUCrop, (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        fdl.Config(ResizeRange, (320, 320), (side, side)),
        fdl.Config(Flip),
        fdl.Config(PhotometricDistortion),
    ]
    return on_changed_coco(config, transforms)


def yolov3_d53_320_273e_coco() -> fdl.Config:
    return _yolov3(320)


def yolov3_d53_mstrain_416_273e_coco() -> fdl.Config:
    return _yolov3(416)


def yolov3_d53_mstrain_608_273e_coco() -> fdl.Config:
    return _yolov3(608)
