"""Mask Scoring R-CNN (https://arxiv.org/abs/1903.00241)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.roi_heads.mask_scoring import MaskIoUHead, MaskScoringBranch

from ..common.backbones import with_caffe, with_resnext
from ..common.schedules import schedule_2x
from ..common.two_stage import experiment, mask_rcnn


def _ms_rcnn(schedule: fdl.Config | None = None) -> fdl.Config:
    """Mask R-CNN with a head that tells the IoU of its masks."""
    model = mask_rcnn()
    fdl.update_callable(model.roi_head.mask, MaskScoringBranch)
    model.roi_head.mask.iou_head = fdl.Config(MaskIoUHead, 256)
    return experiment(model, schedule)


def ms_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return _ms_rcnn()


def ms_rcnn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(_ms_rcnn())


def ms_rcnn_r50_caffe_fpn_2x_coco() -> fdl.Config:
    return with_caffe(_ms_rcnn(schedule_2x()))


def ms_rcnn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(_ms_rcnn(), 101)


def ms_rcnn_r101_caffe_fpn_2x_coco() -> fdl.Config:
    return with_caffe(_ms_rcnn(schedule_2x()), 101)


def ms_rcnn_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(_ms_rcnn())


def ms_rcnn_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(_ms_rcnn(), 101, 64, 4)


def ms_rcnn_x101_64x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(_ms_rcnn(schedule_2x()), 101, 64, 4)
