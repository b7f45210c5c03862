"""Grid R-CNN (https://arxiv.org/abs/1811.12030), with what Grid R-CNN Plus changed."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_depth, with_resnext
from ..common.grid_rcnn import grid_rcnn
from ..common.schedules import schedule_1x


def grid_rcnn_r50_fpn_gn_head_1x_coco() -> fdl.Config:
    return grid_rcnn(schedule_1x())


def grid_rcnn_r50_fpn_gn_head_2x_coco() -> fdl.Config:
    return grid_rcnn()


def grid_rcnn_r101_fpn_gn_head_2x_coco() -> fdl.Config:
    return with_depth(grid_rcnn(), 101)


def grid_rcnn_x101_32x4d_fpn_gn_head_2x_coco() -> fdl.Config:
    return with_resnext(grid_rcnn())


def grid_rcnn_x101_64x4d_fpn_gn_head_2x_coco() -> fdl.Config:
    return with_resnext(grid_rcnn(), 101, 64, 4)
