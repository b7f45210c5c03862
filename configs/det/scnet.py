"""SCNet (https://arxiv.org/abs/2012.10150); trains on `data/coco` with COCO-stuff's maps."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_depth, with_resnext
from ..common.coco_stuff import on_coco_stuff
from ..common.schedules import schedule_20e
from ..common.scnet import scnet
from ..common.two_stage import experiment


def _scnet(schedule: fdl.Config | None = None) -> fdl.Config:
    return on_coco_stuff(experiment(scnet(), schedule))


def scnet_r50_fpn_1x_coco() -> fdl.Config:
    return _scnet()


def scnet_r50_fpn_20e_coco() -> fdl.Config:
    return _scnet(schedule_20e())


def scnet_r101_fpn_20e_coco() -> fdl.Config:
    return with_depth(_scnet(schedule_20e()), 101)


def scnet_x101_64x4d_fpn_20e_coco() -> fdl.Config:
    return with_resnext(_scnet(schedule_20e()), 101, 64, 4)
