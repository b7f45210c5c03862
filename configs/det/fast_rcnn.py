"""Fast R-CNN (https://arxiv.org/abs/1504.08083): the regions come with the images."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_caffe, with_depth
from ..common.schedules import schedule_2x
from ..common.two_stage import experiment, fast_rcnn


def fast_rcnn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(fast_rcnn()))


def fast_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return experiment(fast_rcnn())


def fast_rcnn_r50_fpn_2x_coco() -> fdl.Config:
    return experiment(fast_rcnn(), schedule_2x())


def fast_rcnn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(fast_rcnn()), 101)


def fast_rcnn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(experiment(fast_rcnn()), 101)


def fast_rcnn_r101_fpn_2x_coco() -> fdl.Config:
    return with_depth(experiment(fast_rcnn(), schedule_2x()), 101)
