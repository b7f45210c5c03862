"""Mask R-CNN (https://arxiv.org/abs/1703.06870)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights

from ..common.backbones import (
    with_caffe,
    with_dconv,
    with_depth,
    with_gn,
    with_mdconv,
    with_resnext,
    with_resnext_32x8d,
    with_scratch,
    with_syncbn,
)
from ..common.classes import cityscapes_classes, deepfashion_classes
from ..common.det_data import any_short_side, on_coco, six_short_sides
from ..common.models import caffe_preprocessor
from ..common.other_data import on_cityscapes, on_deepfashion
from ..common.schedules import (
    schedule_1x,
    schedule_2x,
    schedule_3x,
    schedule_4x,
    schedule_cityscapes,
)
from ..common.two_stage import experiment, mask_rcnn, mask_rcnn_v1, smooth_l1

OF_COCO = (  # what learns Cityscapes begins with
    "https://download.openmmlab.com/mmdetection/v2.0/mask_rcnn/mask_rcnn_r50_fpn_1x_coco/"
    "mask_rcnn_r50_fpn_1x_coco_20200205-d4b0c5d6.pth"
)


def _caffe_gn(config: fdl.Config) -> fdl.Config:
    """Group normalisation, from Detectron's weights, which take BGR."""
    config.model.preprocessor = caffe_preprocessor()
    return with_gn(config)


def _caffe_mstrain(schedule: fdl.Config | None = None) -> fdl.Config:
    return on_coco(with_caffe(experiment(mask_rcnn(), schedule)), six_short_sides())


def mask_rcnn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(mask_rcnn()))


def mask_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return experiment(mask_rcnn())


def mask_rcnn_r50_fpn_2x_coco() -> fdl.Config:
    return experiment(mask_rcnn(), schedule_2x())


def mask_rcnn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(experiment(mask_rcnn()), 101)


def mask_rcnn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(experiment(mask_rcnn()), 101)


def mask_rcnn_r101_fpn_2x_coco() -> fdl.Config:
    return with_depth(experiment(mask_rcnn(), schedule_2x()), 101)


def mask_rcnn_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(mask_rcnn()))


def mask_rcnn_x101_32x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(experiment(mask_rcnn(), schedule_2x()))


def mask_rcnn_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(mask_rcnn()), 101, 64, 4)


def mask_rcnn_x101_64x4d_fpn_2x_coco() -> fdl.Config:
    return with_resnext(experiment(mask_rcnn(), schedule_2x()), 101, 64, 4)


def mask_rcnn_r50_caffe_fpn_mstrain_1x_coco() -> fdl.Config:
    return _caffe_mstrain()


def mask_rcnn_r50_caffe_fpn_mstrain_poly_1x_coco() -> fdl.Config:
    return _caffe_mstrain()


def mask_rcnn_r50_caffe_fpn_mstrain_poly_2x_coco() -> fdl.Config:
    return _caffe_mstrain(schedule_2x(milestones=(16, 23)))


def mask_rcnn_r50_caffe_fpn_mstrain_poly_3x_coco() -> fdl.Config:
    return _caffe_mstrain(schedule_3x(milestones=(28, 34)))


def mask_rcnn_x101_32x8d_fpn_1x_coco() -> fdl.Config:
    return with_resnext_32x8d(experiment(mask_rcnn()))


def mask_rcnn_x101_32x8d_fpn_mstrain_poly_3x_coco() -> fdl.Config:
    return on_coco(with_resnext_32x8d(experiment(mask_rcnn(), schedule_3x())), any_short_side())


def mask_rcnn_r50_fpn_fp16_1x_coco() -> fdl.Config:
    return experiment(mask_rcnn(), schedule_1x(precision="fp16"))


def mask_rcnn_r50_fpn_albu_1x_coco() -> fdl.Config:
    """The published one learned from pictures changed by Albumentations, this one from mirrored ones."""
    return experiment(mask_rcnn())


def mask_rcnn_r50_fpn_instaboost_4x_coco() -> fdl.Config:
    """The published one also learned from objects moved about (InstaBoost), which is not here."""
    return experiment(mask_rcnn(), schedule_4x())


def mask_rcnn_r101_fpn_instaboost_4x_coco() -> fdl.Config:
    """The published one also learned from objects moved about (InstaBoost), which is not here."""
    return with_depth(experiment(mask_rcnn(), schedule_4x()), 101)


def mask_rcnn_x101_64x4d_fpn_instaboost_4x_coco() -> fdl.Config:
    """The published one also learned from objects moved about (InstaBoost), which is not here."""
    return with_resnext(experiment(mask_rcnn(), schedule_4x()), 101, 64, 4)


def mask_rcnn_r50_fpn_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(experiment(mask_rcnn()))


def mask_rcnn_r101_fpn_dconv_c3_c5_1x_coco() -> fdl.Config:
    return with_dconv(with_depth(experiment(mask_rcnn()), 101))


def mask_rcnn_r50_fpn_mdconv_c3_c5_1x_coco() -> fdl.Config:
    return with_mdconv(experiment(mask_rcnn()))


def mask_rcnn_r50_fpn_gn_all_2x_coco() -> fdl.Config:
    return _caffe_gn(experiment(mask_rcnn(), schedule_2x()))


def mask_rcnn_r50_fpn_gn_all_3x_coco() -> fdl.Config:
    return _caffe_gn(experiment(mask_rcnn(), schedule_3x(milestones=(28, 34))))


def mask_rcnn_r101_fpn_gn_all_2x_coco() -> fdl.Config:
    return with_depth(_caffe_gn(experiment(mask_rcnn(), schedule_2x())), 101)


def mask_rcnn_r101_fpn_gn_all_3x_coco() -> fdl.Config:
    return with_depth(_caffe_gn(experiment(mask_rcnn(), schedule_3x(milestones=(28, 34)))), 101)


def mask_rcnn_r50_fpn_gn_all_contrib_2x_coco() -> fdl.Config:
    return with_gn(experiment(mask_rcnn(), schedule_2x()))


def mask_rcnn_r50_fpn_gn_all_contrib_3x_coco() -> fdl.Config:
    return with_gn(experiment(mask_rcnn(), schedule_3x(milestones=(28, 34))))


def mask_rcnn_r50_fpn_gn_all_scratch_6x_coco() -> fdl.Config:
    return with_scratch(experiment(mask_rcnn()))


def mask_rcnn_r50_fpn_syncbn_backbone_1x_coco() -> fdl.Config:
    return with_syncbn(experiment(mask_rcnn()))


def mask_rcnn_r101_fpn_syncbn_backbone_1x_coco() -> fdl.Config:
    return with_syncbn(with_depth(experiment(mask_rcnn()), 101))


def mask_rcnn_x101_32x4d_fpn_syncbn_backbone_1x_coco() -> fdl.Config:
    return with_syncbn(with_resnext(experiment(mask_rcnn())))


def mask_rcnn_r50_fpn_1x_cityscapes() -> fdl.Config:
    config = experiment(mask_rcnn(8), schedule_cityscapes(), classes=cityscapes_classes())
    config.model.preprocessor.test_scale = (2048, 1024)
    config.model.roi_head.criterion.regression.loss = smooth_l1()
    config.initial = fdl.Config(InitialWeights, model=OF_COCO)
    return on_cityscapes(config)


def mask_rcnn_r50_fpn_15e_deepfashion() -> fdl.Config:
    config = experiment(mask_rcnn(15), schedule_1x(), classes=deepfashion_classes())
    config.schedule.epochs = 15
    config.model.preprocessor.test_scale = (1101, 750)
    return on_deepfashion(config)


def mask_rcnn_r50_fpn_1x_coco_v1() -> fdl.Config:
    return experiment(mask_rcnn_v1())
