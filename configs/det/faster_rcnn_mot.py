"""Faster R-CNN on MOTChallenge: pedestrians, boxes may leave the picture as the benchmark's do."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_depth
from ..common.classes import mot_classes
from ..common.schedules import schedule_1x
from ..common.two_stage import experiment, faster_rcnn, smooth_l1


def _mot(epochs: int = 4, milestone: int = 3) -> fdl.Config:
    """Fine-tuned from a detector of COCO."""
    schedule = schedule_1x(warmup_iterations=100, warmup_ratio=0.01)
    schedule.epochs, schedule.milestones = epochs, (milestone,)
    config = experiment(faster_rcnn(1), schedule, mot_classes())
    model = config.model
    model.preprocessor.test_scale = (1088, 1088)
    model.rpn.criterion.regression.loss = smooth_l1(1 / 9)
    model.roi_head.criterion.regression.loss = smooth_l1()
    model.rpn.coder.clip_border = model.roi_head.coder.clip_border = False
    return config


def faster_rcnn_r50_fpn_4e_mot15_half() -> fdl.Config:
    return _mot()


def faster_rcnn_r50_fpn_4e_mot16_half() -> fdl.Config:
    return _mot()


def faster_rcnn_r50_fpn_4e_mot17() -> fdl.Config:
    return _mot()


def faster_rcnn_r50_fpn_4e_mot17_half() -> fdl.Config:
    return _mot()


def faster_rcnn_r101_fpn_4e_mot17_half() -> fdl.Config:
    return with_depth(_mot(), 101)


def faster_rcnn_r50_fpn_8e_mot20() -> fdl.Config:
    return _mot(8, 6)


def faster_rcnn_r50_fpn_8e_mot20_half() -> fdl.Config:
    return _mot(8, 6)
