"""ATSS (https://arxiv.org/abs/1912.02424)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from ..common.atss import atss_head
from ..common.classes import bdd100k_classes
from ..common.dense import sgd, single_stage
from ..common.det_data import on_bdd100k_by_length
from ..common.models import preprocessor, resnet
from ..common.schedules import schedule_1x, schedule_3x


def atss_r50_fpn_1x_coco() -> fdl.Config:
    return single_stage(atss_head())


def atss_r101_fpn_1x_coco() -> fdl.Config:
    return single_stage(atss_head(), backbone=resnet(101))


def _bdd100k(schedule: Any, depth: int = 50) -> fdl.Config:
    classes = bdd100k_classes()
    config = single_stage(
        atss_head(len(classes)),
        backbone=resnet(depth),
        preprocess=preprocessor((1280, 720)),
        classes=classes,
        schedule=schedule(optimizer=sgd()),
    )
    return on_bdd100k_by_length(config)


def atss_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return _bdd100k(schedule_1x)


def atss_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(schedule_3x)


def atss_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(schedule_3x, 101)
