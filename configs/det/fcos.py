"""FCOS (https://arxiv.org/abs/1904.01355)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl
from torch.nn.functional import relu

from vidperc.engine.schedule import held, rising
from vidperc.image.assigners import PointRangeAssigner
from vidperc.image.distance_coders import DistanceCoder, StrideDistanceCoder
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.fcos import FCOSCriterion, FCOSPredictor
from vidperc.image.losses import giou_loss
from vidperc.image.priors import GridPoints
from vidperc.layers.deform_conv import ModulatedDeformConv

from ..common.backbones import from_detectron
from ..common.classes import bdd100k_classes
from ..common.dense import STRIDES, detectron_preprocessor, pyramid, sgd, single_stage
from ..common.det_data import on_bdd100k_by_length, on_coco, one_short_side
from ..common.models import caffe_preprocessor, caffe_resnet, modulated_deformable, preprocessor, resnext
from ..common.schedules import schedule_1x, schedule_2x, schedule_3x


def _head(classes: int = 80) -> fdl.Config:
    coder = fdl.Config(DistanceCoder)
    assigner = fdl.Config(PointRangeAssigner, strides=STRIDES)
    return fdl.Config(
        DenseHead,
        predictor=fdl.Config(FCOSPredictor, classes=classes, norm="gn"),
        priors=fdl.Config(GridPoints, strides=STRIDES),
        criterion=fdl.Config(FCOSCriterion, assigner=assigner, coder=coder),
        postprocessor=fdl.Config(DensePostprocessor, coder=coder),
    )


def _training(schedule: Any = schedule_1x, **changes: Any) -> fdl.Config:
    optimizer = sgd(bias_lr=2.0, bias_decay=0.0)
    return schedule(optimizer=optimizer, warmup_ratio=1 / 3, warmup=held, clip_norm=35.0, **changes)


def _fcos(classes: tuple[str, ...] | None = None, **parts: Any) -> fdl.Config:
    head = _head(80 if classes is None else len(classes))
    defaults = {
        "backbone": caffe_resnet(),
        "neck": pyramid(relu_before_extra=True),
        "preprocess": detectron_preprocessor(),
        "schedule": _training(),
    }
    config = single_stage(head, classes=classes, **{**defaults, **parts})
    return config if "preprocess" in parts else from_detectron(config)


def _tricks(classes: tuple[str, ...] | None = None, **parts: Any) -> fdl.Config:
    """Centre sampling, distances in strides, centerness from the box tower, GIoU."""
    config = _fcos(classes, **parts)
    head, coder = config.model.head, fdl.Config(StrideDistanceCoder)
    head.predictor.positive = relu
    head.predictor.centerness_on = "reg"
    head.predictor.conv_bias = True
    head.criterion.coder = head.postprocessor.coder = coder
    head.criterion.box_loss = giou_loss
    head.criterion.assigner.radius = 1.5
    head.postprocessor.iou_threshold = 0.6
    config.schedule.clip_norm, config.schedule.warmup = None, rising
    return config


def fcos_r50_caffe_fpn_gn_head_1x_coco() -> fdl.Config:
    return _fcos()


def fcos_r101_caffe_fpn_gn_head_1x_coco() -> fdl.Config:
    return _fcos(backbone=caffe_resnet(101))


def _mstrain(**parts: Any) -> fdl.Config:
    return on_coco(_fcos(schedule=_training(schedule_2x), **parts), one_short_side(640, 800))


def fcos_r50_caffe_fpn_gn_head_mstrain_640_800_2x_coco() -> fdl.Config:
    return _mstrain()


def fcos_r101_caffe_fpn_gn_head_mstrain_640_800_2x_coco() -> fdl.Config:
    return _mstrain(backbone=caffe_resnet(101))


def fcos_x101_64x4d_fpn_gn_head_mstrain_640_800_2x_coco() -> fdl.Config:
    return _mstrain(backbone=resnext(groups=64), preprocess=preprocessor())


def fcos_center_normbbox_centeronreg_giou_r50_caffe_fpn_gn_head_1x_coco() -> fdl.Config:
    return _tricks(preprocess=caffe_preprocessor())


def fcos_center_normbbox_centeronreg_giou_r50_caffe_fpn_gn_head_dcn_1x_coco() -> fdl.Config:
    """With deformable convolutions in the backbone and at the end of the towers."""
    config = _tricks(preprocess=caffe_preprocessor(), backbone=caffe_resnet(conv_stages=modulated_deformable()))
    config.model.head.predictor.last_conv = ModulatedDeformConv
    return config


def _bdd100k(schedule: Any, depth: int = 50) -> dict[str, Any]:
    return {
        "classes": bdd100k_classes(),
        "backbone": caffe_resnet(depth),
        "preprocess": detectron_preprocessor(test_scale=(1280, 720), float_resize=True),
        "schedule": _training(schedule, batch_size=32),
    }


def fcos_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return on_bdd100k_by_length(_fcos(**_bdd100k(schedule_1x)))


def fcos_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return on_bdd100k_by_length(_fcos(**_bdd100k(schedule_3x)))


def fcos_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return on_bdd100k_by_length(_fcos(**_bdd100k(schedule_3x, 101)))


def fcos_tricks_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return on_bdd100k_by_length(_tricks(**_bdd100k(schedule_1x)))
