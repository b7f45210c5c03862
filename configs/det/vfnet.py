"""VarifocalNet (https://arxiv.org/abs/2008.13367)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.assigners import ATSSAssigner
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.vfnet import AnchorDistanceCoder, VFNetCriterion, VFNetPredictor
from vidperc.layers.deform_conv import ModulatedDeformConv

from ..common.dense import one_anchor, pyramid, sgd, single_stage
from ..common.det_data import any_short_side, on_coco
from ..common.models import modulated_deformable, resnet
from ..common.schedules import schedule_1x, schedule_2x


def _vfnet(schedule: Any = schedule_1x, **parts: Any) -> fdl.Config:
    coder = fdl.Config(AnchorDistanceCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(VFNetPredictor, classes=80),
        priors=one_anchor(),
        criterion=fdl.Config(VFNetCriterion, assigner=fdl.Config(ATSSAssigner), coder=coder),
        postprocessor=fdl.Config(DensePostprocessor, coder=coder, iou_threshold=0.6),
    )
    training = schedule(optimizer=sgd(bias_lr=2.0, bias_decay=0.0), warmup_ratio=0.1)
    return single_stage(head, neck=pyramid(relu_before_extra=True), schedule=training, **parts)


def _mstrain(**parts: Any) -> fdl.Config:
    return on_coco(_vfnet(schedule_2x, **parts), any_short_side(480, 960))


def _deformable(**resnet_changes: Any) -> fdl.Config:
    """Modulated deformable convolutions in the last three stages and at the end of the towers."""
    config = _mstrain(backbone=resnet(conv_stages=modulated_deformable(), **resnet_changes))
    config.model.head.predictor.last_conv = ModulatedDeformConv
    return config


def vfnet_r50_fpn_1x_coco() -> fdl.Config:
    return _vfnet()


def vfnet_r50_fpn_mstrain_2x_coco() -> fdl.Config:
    return _mstrain()


def vfnet_r50_fpn_mdconv_c3_c5_mstrain_2x_coco() -> fdl.Config:
    return _deformable()


def vfnet_r101_fpn_1x_coco() -> fdl.Config:
    return _vfnet(backbone=resnet(101))


def vfnet_r101_fpn_mstrain_2x_coco() -> fdl.Config:
    return _mstrain(backbone=resnet(101))


def vfnet_r101_fpn_mdconv_c3_c5_mstrain_2x_coco() -> fdl.Config:
    return _deformable(depth=101)


def vfnet_x101_32x4d_fpn_mdconv_c3_c5_mstrain_2x_coco() -> fdl.Config:
    return _deformable(depth=101, groups=32, width_per_group=4)


def vfnet_x101_64x4d_fpn_mdconv_c3_c5_mstrain_2x_coco() -> fdl.Config:
    return _deformable(depth=101, groups=64, width_per_group=4)
