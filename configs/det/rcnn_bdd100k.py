"""The R-CNN family on BDD100K (https://arxiv.org/abs/1805.04687), ten classes at 1280x720."""

from __future__ import annotations

from collections.abc import Callable

import fiddle as fdl

from vidperc.engine.optim import SGD, AdamW

from ..common.backbones import RSB_WEIGHTS, with_dconv, with_depth
from ..common.classes import bdd100k_classes
from ..common.det_data import on_bdd100k_by_length
from ..common.schedules import schedule_1x, schedule_3x, schedule_5x
from ..common.two_stage import cascade_rcnn, experiment, faster_rcnn


def bdd100k_experiment(model: fdl.Config, schedule: Callable[..., fdl.Config] = schedule_1x) -> fdl.Config:
    """32 images per step."""
    model.preprocessor.test_scale = (1280, 720)
    config = experiment(model, schedule(batch_size=32, optimizer=fdl.Config(SGD, lr=0.04)), bdd100k_classes())
    return on_bdd100k_by_length(config)


def _rsb(schedule: Callable[..., fdl.Config]) -> fdl.Config:
    """On a ResNet-50 trained by the recipe of https://arxiv.org/abs/2110.00476."""
    config = bdd100k_experiment(faster_rcnn(10), schedule)
    config.schedule.optimizer = fdl.Config(AdamW, lr=2e-4, weight_decay=0.05, norm_decay=0.0)
    config.initial.backbone = RSB_WEIGHTS
    return config


def cascade_rcnn_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return with_depth(bdd100k_experiment(cascade_rcnn(10), schedule_3x), 101)


def cascade_rcnn_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return bdd100k_experiment(cascade_rcnn(10))


def cascade_rcnn_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return bdd100k_experiment(cascade_rcnn(10), schedule_3x)


def faster_rcnn_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return with_depth(bdd100k_experiment(faster_rcnn(10), schedule_3x), 101)


def faster_rcnn_r101_fpn_5x_det_bdd100k() -> fdl.Config:
    return with_depth(bdd100k_experiment(faster_rcnn(10), schedule_5x), 101)


def faster_rcnn_r101_fpn_dconv_3x_det_bdd100k() -> fdl.Config:
    return with_dconv(with_depth(bdd100k_experiment(faster_rcnn(10), schedule_3x), 101))


def faster_rcnn_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return bdd100k_experiment(faster_rcnn(10))


def faster_rcnn_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return bdd100k_experiment(faster_rcnn(10), schedule_3x)


def faster_rcnn_r50_fpn_5x_det_bdd100k() -> fdl.Config:
    return bdd100k_experiment(faster_rcnn(10), schedule_5x)


def faster_rcnn_r50_fpn_dconv_1x_det_bdd100k() -> fdl.Config:
    return with_dconv(bdd100k_experiment(faster_rcnn(10)))


def faster_rcnn_r50_fpn_dconv_3x_det_bdd100k() -> fdl.Config:
    return with_dconv(bdd100k_experiment(faster_rcnn(10), schedule_3x))


def faster_rcnn_r50_fpn_rsb_1x_det_bdd100k() -> fdl.Config:
    return _rsb(schedule_1x)


def faster_rcnn_r50_fpn_rsb_3x_det_bdd100k() -> fdl.Config:
    return _rsb(schedule_3x)
