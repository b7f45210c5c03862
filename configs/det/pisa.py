"""Prime sample attention (PISA, https://arxiv.org/abs/1904.04821) on RetinaNet, SSD, Faster and Mask R-CNN."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.heads.pisa import PISAAnchorCriterion, PISASSDCriterion
from vidperc.image.prime_samples import ImportanceWeights, ScoreWeights
from vidperc.image.regression import CodeRegression
from vidperc.image.roi_heads.pisa import ImportantNegatives, PISABoxCriterion, PISARoIHead

from ..common.backbones import with_resnext
from ..common.two_stage import experiment, faster_rcnn, mask_rcnn, smooth_l1
from .retinanet import retinanet_r50_fpn_1x_coco, retinanet_x101_32x4d_fpn_1x_coco
from .ssd import ssd300_coco, ssd512_coco


def _two_stage(model: fdl.Config) -> fdl.Config:
    """Up to 2000 regions; the second stage learns by importance."""
    for select in (model.rpn.select, model.rpn.select_training):
        select.pre_nms = select.post_nms = 2000
    parts = fdl.ordered_arguments(model.roi_head)
    parts["criterion"] = fdl.Config(PISABoxCriterion, regression=fdl.Config(CodeRegression, loss=smooth_l1()))
    model.roi_head = fdl.Config(PISARoIHead, negatives=fdl.Config(ImportantNegatives), **parts)
    return experiment(model)


def _weights() -> dict[str, fdl.Config]:
    return {"importance": fdl.Config(ImportanceWeights), "carl": fdl.Config(ScoreWeights)}


def _retinanet(config: fdl.Config) -> fdl.Config:
    head = config.model.head
    head.criterion = fdl.Config(
        PISAAnchorCriterion,
        assigner=head.criterion.assigner,
        coder=head.criterion.coder,
        code_loss=smooth_l1(0.11),
        **_weights(),
    )
    return config


def _ssd(config: fdl.Config) -> fdl.Config:
    head = config.model.head
    head.criterion = fdl.Config(
        PISASSDCriterion, assigner=head.criterion.assigner, coder=head.criterion.coder, **_weights()
    )
    config.schedule.clip_norm = 35.0
    return config


def pisa_faster_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return _two_stage(faster_rcnn())


def pisa_faster_rcnn_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(_two_stage(faster_rcnn()))


def pisa_mask_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return _two_stage(mask_rcnn())


def pisa_retinanet_r50_fpn_1x_coco() -> fdl.Config:
    return _retinanet(retinanet_r50_fpn_1x_coco())


def pisa_retinanet_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return _retinanet(retinanet_x101_32x4d_fpn_1x_coco())


def pisa_ssd300_coco() -> fdl.Config:
    return _ssd(ssd300_coco())


def pisa_ssd512_coco() -> fdl.Config:
    return _ssd(ssd512_coco())
