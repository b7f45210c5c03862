"""FoveaBox (https://arxiv.org/abs/1904.03797)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.fovea import (
    AlignedFoveaPredictor,
    FoveaAssigner,
    FoveaCriterion,
    FoveaPredictor,
    LogDistanceCoder,
)
from vidperc.image.priors import GridPoints

from ..common.dense import STRIDES, pyramid, sgd, single_stage
from ..common.det_data import on_coco, one_short_side
from ..common.models import resnet
from ..common.schedules import schedule_1x, schedule_2x


def _fovea(schedule: Any = schedule_1x, **parts: Any) -> fdl.Config:
    coder = fdl.Config(LogDistanceCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(FoveaPredictor, classes=80),
        priors=fdl.Config(GridPoints, strides=STRIDES),
        criterion=fdl.Config(FoveaCriterion, assigner=fdl.Config(FoveaAssigner), coder=coder),
        postprocessor=fdl.Config(DensePostprocessor, coder=coder),
    )
    return single_stage(head, neck=pyramid(extra="on_input"), schedule=schedule(optimizer=sgd()), **parts)


def _align(**parts: Any) -> fdl.Config:
    """Group normalisation in the head, and features taken where the box is."""
    config = _fovea(schedule_2x, **parts)
    config.model.head.predictor = fdl.Config(AlignedFoveaPredictor, classes=80)
    return config


def _mstrain(**parts: Any) -> fdl.Config:
    return on_coco(_align(**parts), one_short_side(640, 800))


def fovea_r50_fpn_4x4_1x_coco() -> fdl.Config:
    return _fovea()


def fovea_r50_fpn_4x4_2x_coco() -> fdl.Config:
    return _fovea(schedule_2x)


def fovea_r101_fpn_4x4_1x_coco() -> fdl.Config:
    return _fovea(backbone=resnet(101))


def fovea_r101_fpn_4x4_2x_coco() -> fdl.Config:
    return _fovea(schedule_2x, backbone=resnet(101))


def fovea_align_r50_fpn_gn_head_4x4_2x_coco() -> fdl.Config:
    config = _align()
    config.schedule.clip_norm = 35.0
    return config


def fovea_align_r50_fpn_gn_head_mstrain_640_800_4x4_2x_coco() -> fdl.Config:
    return _mstrain()


def fovea_align_r101_fpn_gn_head_4x4_2x_coco() -> fdl.Config:
    return _align(backbone=resnet(101))


def fovea_align_r101_fpn_gn_head_mstrain_640_800_4x4_2x_coco() -> fdl.Config:
    return _mstrain(backbone=resnet(101))
