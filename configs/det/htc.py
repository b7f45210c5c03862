"""Hybrid Task Cascade (https://arxiv.org/abs/1901.07518); trains on `data/coco` with COCO-stuff's maps."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_dconv, with_depth, with_resnext
from ..common.coco_stuff import on_coco_stuff
from ..common.htc import htc, htc_without_semantic
from ..common.schedules import schedule_20e
from ..common.two_stage import experiment


def _htc(schedule: fdl.Config | None = None) -> fdl.Config:
    return on_coco_stuff(experiment(htc(), schedule))


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
    config = with_dconv(htc_x101_64x4d_fpn_16x1_20e_coco())
    return on_coco_stuff(config, (1600, 400), (1600, 1400))
