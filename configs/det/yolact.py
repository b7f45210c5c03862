"""YOLACT (https://arxiv.org/abs/1904.02689)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.data.transforms import DropSmall, Expand, Flip, MinIoUCrop, PhotometricDistortion, Resize
from vidperc.engine.schedule import Schedule
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.yolact import (
    YOLACTAnchors,
    YOLACTCriterion,
    YOLACTHead,
    YOLACTPostprocessor,
    YOLACTPredictor,
)
from vidperc.image.heads.yolact_masks import MaskLoss, Protonet, SemanticBranch
from vidperc.image.necks.fpn import BilinearFPN

from ..common.dense import sgd, single_stage
from ..common.det_data import on_changed_coco
from ..common.models import preprocessor, resnet

NAMES = ((r"^mask_head\.protonet\.", "head.protonet.layers."), (r"^segm_head\.segm_conv\.", "head.semantic."))


def _yolact(depth: int, schedule: fdl.Config) -> fdl.Config:
    coder = fdl.Config(DeltaCoder, stds=(0.1, 0.1, 0.2, 0.2))
    head = fdl.Config(
        YOLACTHead,
        predictor=fdl.Config(YOLACTPredictor, classes=80),
        priors=fdl.Config(YOLACTAnchors),
        protonet=fdl.Config(Protonet),
        semantic=fdl.Config(SemanticBranch, classes=80),
        criterion=fdl.Config(
            YOLACTCriterion,
            assigner=fdl.Config(MaxIoUAssigner, positive=0.5, negative=0.4, all_best=False),
            coder=coder,
            mask_loss=fdl.Config(MaskLoss),
        ),
        postprocessor=fdl.Config(YOLACTPostprocessor, coder=coder),
    )
    config = single_stage(
        head,
        backbone=resnet(depth, frozen_stages=-1, norm_eval=False),
        neck=fdl.Config(BilinearFPN, in_channels=(256, 512, 1024, 2048), start_level=1, extra="on_input"),
        preprocess=preprocessor(
            (550, 550), keep_ratio=False, mean=(123.68, 116.78, 103.94), std=(58.4, 57.12, 57.38), pad_divisor=1
        ),
        schedule=schedule,
        keys=NAMES,
    )
    return on_changed_coco(config, _augmentation(), masks=True)


def _augmentation() -> list[fdl.Config]:
    """SSD's, in one size."""
    return [
        fdl.Config(DropSmall, 4.0),
        fdl.Config(Expand),
        fdl.Config(MinIoUCrop),
        fdl.Config(Resize, (550, 550), keep_ratio=False),
        fdl.Config(Flip),
        fdl.Config(PhotometricDistortion),
    ]


def _schedule(lr: float = 0.001, **changes: Any) -> fdl.Config:
    """55 epochs of 8 images per step."""
    return fdl.Config(
        Schedule,
        epochs=55,
        milestones=(20, 42, 49, 52),
        optimizer=sgd(lr, weight_decay=5e-4),
        **{"warmup_ratio": 0.1, "batch_size": 8, **changes},
    )


def yolact_r50_1x8_coco() -> fdl.Config:
    return _yolact(50, _schedule())


def yolact_r50_8x8_coco() -> fdl.Config:
    return _yolact(50, _schedule(0.008, warmup_iterations=1000, batch_size=64, clip_norm=35.0))


def yolact_r101_1x8_coco() -> fdl.Config:
    return _yolact(101, _schedule())
