"""The R-CNN family on BDD100K (https://arxiv.org/abs/1805.04687), ten classes at 1280x720."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_dconv, with_depth
from ..common.classes import bdd100k_classes
from ..common.schedules import schedule_3x, schedule_5x
from ..common.two_stage import cascade_rcnn, experiment, faster_rcnn


def _bdd100k(model: fdl.Config, schedule: fdl.Config | None = None) -> fdl.Config:
    model.preprocessor.test_scale = (1280, 720)
    return experiment(model, schedule, bdd100k_classes())


def cascade_rcnn_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return with_depth(_bdd100k(cascade_rcnn(10), schedule_3x()), 101)


def cascade_rcnn_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return _bdd100k(cascade_rcnn(10))


def cascade_rcnn_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(cascade_rcnn(10), schedule_3x())


def faster_rcnn_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return with_depth(_bdd100k(faster_rcnn(10), schedule_3x()), 101)


def faster_rcnn_r101_fpn_5x_det_bdd100k() -> fdl.Config:
    return with_depth(_bdd100k(faster_rcnn(10), schedule_5x()), 101)


def faster_rcnn_r101_fpn_dconv_3x_det_bdd100k() -> fdl.Config:
    return with_dconv(with_depth(_bdd100k(faster_rcnn(10), schedule_3x()), 101))


def faster_rcnn_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return _bdd100k(faster_rcnn(10))


def faster_rcnn_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(faster_rcnn(10), schedule_3x())


def faster_rcnn_r50_fpn_5x_det_bdd100k() -> fdl.Config:
    return _bdd100k(faster_rcnn(10), schedule_5x())


def faster_rcnn_r50_fpn_dconv_1x_det_bdd100k() -> fdl.Config:
    return with_dconv(_bdd100k(faster_rcnn(10)))


def faster_rcnn_r50_fpn_dconv_3x_det_bdd100k() -> fdl.Config:
    return with_dconv(_bdd100k(faster_rcnn(10), schedule_3x()))


def faster_rcnn_r50_fpn_rsb_1x_det_bdd100k() -> fdl.Config:
    return _bdd100k(faster_rcnn(10))


def faster_rcnn_r50_fpn_rsb_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(faster_rcnn(10), schedule_3x())
