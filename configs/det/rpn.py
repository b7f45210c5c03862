"""RPN: region proposals alone (https://arxiv.org/abs/1506.01497)."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_caffe, with_depth, with_resnext
from ..common.schedules import schedule_2x
from ..common.two_stage import experiment, rpn


def rpn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(rpn(), classes=("object",)))


def rpn_r50_fpn_1x_coco() -> fdl.Config:
    return experiment(rpn(), classes=("object",))


def rpn_r50_fpn_2x_coco() -> fdl.Config:
    return experiment(rpn(), schedule_2x(), classes=("object",))


def rpn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(rpn(), classes=("object",)), 101)


def rpn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(experiment(rpn(), classes=("object",)), 101)


def rpn_r101_fpn_2x_coco() -> fdl.Config:
    return with_depth(experiment(rpn(), schedule_2x(), classes=("object",)), 101)


def rpn_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(rpn(), classes=("object",)))


def rpn_x101_32x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(experiment(rpn(), schedule_2x(), classes=("object",)))


def rpn_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(rpn(), classes=("object",)), 101, 64, 4)


def rpn_x101_64x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(experiment(rpn(), schedule_2x(), classes=("object",)), 101, 64, 4)
