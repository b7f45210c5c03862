"""Libra R-CNN (https://arxiv.org/abs/1904.02701)."""

from __future__ import annotations

from collections.abc import Callable

import fiddle as fdl
from torch import nn

from vidperc.image.losses import balanced_l1_loss
from vidperc.image.necks.balanced import BalancedPyramid
from vidperc.image.roi_heads.libra import BalancedRegionSampler, BalancedSampler, BoundedSampler

from ..common.backbones import with_depth, with_resnext
from ..common.schedules import schedule_1x, schedule_3x
from ..common.two_stage import experiment, faster_rcnn
from .rcnn_bdd100k import bdd100k_experiment
from .retinanet import retinanet_r50_fpn_1x_coco


def _libra(model: fdl.Config) -> fdl.Config:
    """Balanced sampling, pyramid and box loss in a Faster R-CNN."""
    model.neck = fdl.Config(nn.Sequential, model.neck, fdl.Config(BalancedPyramid))
    model.rpn.criterion.sampler = fdl.Config(BoundedSampler, 256, 0.5)
    sampler = model.roi_head.sampler
    model.roi_head.sampler = fdl.Config(
        BalancedRegionSampler, assigner=sampler.assigner, sampler=fdl.Config(BalancedSampler)
    )
    model.roi_head.criterion.regression.loss = balanced_l1_loss
    return model


def _bdd100k(schedule: Callable[..., fdl.Config] = schedule_1x, depth: int = 50) -> fdl.Config:
    return with_depth(bdd100k_experiment(_libra(faster_rcnn(10)), schedule), depth)


def libra_faster_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return experiment(_libra(faster_rcnn()))


def libra_faster_rcnn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(experiment(_libra(faster_rcnn())), 101)


def libra_faster_rcnn_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return with_resnext(experiment(_libra(faster_rcnn())), 101, 64, 4)


def libra_retinanet_r50_fpn_1x_coco() -> fdl.Config:
    config = retinanet_r50_fpn_1x_coco()
    model = config.model
    model.neck = fdl.Config(nn.Sequential, model.neck, fdl.Config(BalancedPyramid, refine_level=1))
    model.head.criterion.code_loss = fdl.Partial(balanced_l1_loss, beta=0.11)
    return config


def libra_faster_rcnn_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return _bdd100k()


def libra_faster_rcnn_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(schedule_3x)


def libra_faster_rcnn_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(schedule_3x, 101)
