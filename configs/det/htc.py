"""Hybrid Task Cascade (https://arxiv.org/abs/1901.07518); trains on `data/coco` with COCO-stuff's maps."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_dconv, with_depth, with_resnext
from ..common.coco_stuff import coco_stuff_training
from ..common.htc import htc, htc_without_semantic
from ..common.schedules import schedule_20e
from ..common.two_stage import experiment


def _htc(schedule: fdl.Config | None = None) -> fdl.Config:
    config = experiment(htc(), schedule)
    config.train_data = fdl.Config(coco_stuff_training, "data/coco")
    return config


def htc_without_semantic_r50_fpn_1x_coco() -> fdl.Config:
    return experiment(htc_without_semantic())


def htc_r50_fpn_1x_coco() -> fdl.Config:
    return _htc()


def htc_r50_fpn_20e_coco() -> fdl.Config:
    return _htc(schedule_20e())


def htc_r101_fpn_20e_coco() -> fdl.Config:
    return with_depth(_htc(schedule_20e()), 101)


def htc_x101_32x4d_fpn_16x1_20e_coco() -> fdl.Config:
    return with_resnext(_htc(schedule_20e()))


def htc_x101_64x4d_fpn_16x1_20e_coco() -> fdl.Config:
    return with_resnext(_htc(schedule_20e()), 101, 64, 4)


def htc_x101_64x4d_fpn_dconv_c3_c5_mstrain_400_1400_16x1_20e_coco() -> fdl.Config:
    config = with_dconv(with_resnext(_htc(schedule_20e()), 101, 64, 4))
    config.train_data.scales = ((1600, 400), (1600, 1400))
    return config
