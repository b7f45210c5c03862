"""Cascade Mask R-CNN (https://arxiv.org/abs/1712.00726, section 6)."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_caffe, with_dconv, with_depth, with_resnext, with_syncbn
from ..common.schedules import schedule_4x, schedule_20e
from ..common.two_stage import cascade_mask_rcnn, cascade_mask_rcnn_v1, experiment


def cascade_mask_rcnn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(cascade_mask_rcnn()))


def cascade_mask_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return experiment(cascade_mask_rcnn())


def cascade_mask_rcnn_r50_fpn_20e_coco() -> fdl.Config:
    return experiment(cascade_mask_rcnn(), schedule_20e())


def cascade_mask_rcnn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(cascade_mask_rcnn()), 101)


def cascade_mask_rcnn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(experiment(cascade_mask_rcnn()), 101)


def cascade_mask_rcnn_r101_fpn_20e_coco() -> fdl.Config:
    return with_depth(experiment(cascade_mask_rcnn(), schedule_20e()), 101)


def cascade_mask_rcnn_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(cascade_mask_rcnn()))


def cascade_mask_rcnn_x101_32x4d_fpn_20e_coco() -> fdl.Config:
    return with_resnext(experiment(cascade_mask_rcnn(), schedule_20e()))


def cascade_mask_rcnn_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(cascade_mask_rcnn()), 101, 64, 4)


def cascade_mask_rcnn_x101_64x4d_fpn_20e_coco() -> fdl.Config:
    return with_resnext(experiment(cascade_mask_rcnn(), schedule_20e()), 101, 64, 4)


def cascade_mask_rcnn_r50_fpn_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(experiment(cascade_mask_rcnn()))


def cascade_mask_rcnn_r101_fpn_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(with_depth(experiment(cascade_mask_rcnn()), 101))


def cascade_mask_rcnn_x101_32x4d_fpn_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(with_resnext(experiment(cascade_mask_rcnn())))


def cascade_mask_rcnn_r50_fpn_instaboost_4x_coco() -> fdl.Config:
    """The published one also learned from objects moved about (InstaBoost), which is not here."""
    return experiment(cascade_mask_rcnn(), schedule_4x())


def cascade_mask_rcnn_r101_fpn_instaboost_4x_coco() -> fdl.Config:
    """The published one also learned from objects moved about (InstaBoost), which is not here."""
    return with_depth(experiment(cascade_mask_rcnn(), schedule_4x()), 101)


def cascade_mask_rcnn_x101_64x4d_fpn_instaboost_4x_coco() -> fdl.Config:
    """The published one also learned from objects moved about (InstaBoost), which is not here."""
    return with_resnext(experiment(cascade_mask_rcnn(), schedule_4x()), 101, 64, 4)


def cascade_mask_rcnn_x101_32x4d_fpn_syncbn_backbone_1x_coco() -> fdl.Config:
    return with_syncbn(with_resnext(experiment(cascade_mask_rcnn())))


def cascade_mask_rcnn_x101_32x4d_fpn_syncbn_backbone_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(with_syncbn(with_resnext(experiment(cascade_mask_rcnn()))))


def cascade_mask_rcnn_r50_fpn_1x_coco_v1() -> fdl.Config:
    return experiment(cascade_mask_rcnn_v1())
