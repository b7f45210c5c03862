"""Fast R-CNN (https://arxiv.org/abs/1504.08083): the regions come with the images."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_caffe, with_depth
from ..common.det_data import on_coco_proposals
from ..common.schedules import schedule_2x
from ..common.two_stage import experiment, fast_rcnn


def _fast_rcnn(schedule: fdl.Config | None = None) -> fdl.Config:
    return on_coco_proposals(experiment(fast_rcnn(), schedule))


def fast_rcnn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(_fast_rcnn())


def fast_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return _fast_rcnn()


def fast_rcnn_r50_fpn_2x_coco() -> fdl.Config:
    return _fast_rcnn(schedule_2x())


def fast_rcnn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(_fast_rcnn(), 101)


def fast_rcnn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(_fast_rcnn(), 101)


def fast_rcnn_r101_fpn_2x_coco() -> fdl.Config:
    return with_depth(_fast_rcnn(schedule_2x()), 101)
