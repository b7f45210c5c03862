"""RPN: region proposals alone (https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_caffe, with_depth, with_resnext
from ..common.det_data import on_coco_regions
from ..common.schedules import schedule_2x
from ..common.two_stage import experiment, rpn


def _rpn(schedule: fdl.Config | None = None) -> fdl.Config:
    return on_coco_regions(experiment(rpn(), schedule, ("object",)))


def rpn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(_rpn())


def rpn_r50_fpn_1x_coco() -> fdl.Config:
    return _rpn()


def rpn_r50_fpn_2x_coco() -> fdl.Config:
    return _rpn(schedule_2x())


def rpn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(_rpn(), 101)


def rpn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(_rpn(), 101)


def rpn_r101_fpn_2x_coco() -> fdl.Config:
    return with_depth(_rpn(schedule_2x()), 101)


def rpn_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(_rpn())


def rpn_x101_32x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(_rpn(schedule_2x()))


def rpn_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(_rpn(), 101, 64, 4)


def rpn_x101_64x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(_rpn(schedule_2x()), 101, 64, 4)
