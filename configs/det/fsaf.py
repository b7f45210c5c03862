"""FSAF (https://arxiv.org/abs/1903.00621), its anchor-free branch alone."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.fsaf import CenterRegionAssigner, FSAFCriterion, FSAFPredictor, SideCoder
from vidperc.image.priors import AnchorGenerator

from ..common.dense import STRIDES, pyramid, sgd, single_stage
from ..common.models import resnet, resnext
from ..common.schedules import schedule_1x


def _fsaf(**parts: Any) -> fdl.Config:
    coder = fdl.Config(SideCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(FSAFPredictor, classes=80),
        priors=fdl.Config(AnchorGenerator, strides=STRIDES, ratios=(1.0,), scales=(1.0,)),
        criterion=fdl.Config(FSAFCriterion, assigner=fdl.Config(CenterRegionAssigner), coder=coder),
        postprocessor=fdl.Config(DensePostprocessor, coder=coder),
    )
    schedule = schedule_1x(optimizer=sgd(), clip_norm=10.0)
    return single_stage(head, neck=pyramid(extra="on_input"), schedule=schedule, **parts)


def fsaf_r50_fpn_1x_coco() -> fdl.Config:
    return _fsaf()


def fsaf_pscale0_2_nscale0_5_r50_fpn_1x_coco() -> fdl.Config:
    """With the shadow of the paper, half of a target's sides."""
    config = _fsaf()
    config.model.head.criterion.assigner.shadow = 0.5
    return config


def fsaf_r101_fpn_1x_coco() -> fdl.Config:
    return _fsaf(backbone=resnet(101))


def fsaf_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return _fsaf(backbone=resnext(groups=64))
