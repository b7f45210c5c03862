"""Group normalisation with weight standardisation (https://arxiv.org/abs/1903.10520)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights

from ..common.backbones import with_depth, with_gn_ws, with_resnext
from ..common.schedules import schedule_2x, schedule_20_23_24e
from ..common.two_stage import experiment, faster_rcnn, mask_rcnn


def _gn_ws(config: fdl.Config) -> fdl.Config:
    """The path of the backbone's ImageNet weights, with the same norms, is given as `initial.backbone`."""
    config.initial = fdl.Config(InitialWeights)
    return with_gn_ws(config)


def faster_rcnn_r50_fpn_gn_ws_all_1x_coco() -> fdl.Config:
    return _gn_ws(experiment(faster_rcnn()))


def faster_rcnn_r101_fpn_gn_ws_all_1x_coco() -> fdl.Config:
    return _gn_ws(with_depth(experiment(faster_rcnn()), 101))


def faster_rcnn_x50_32x4d_fpn_gn_ws_all_1x_coco() -> fdl.Config:
    return _gn_ws(with_resnext(experiment(faster_rcnn()), 50))


def faster_rcnn_x101_32x4d_fpn_gn_ws_all_1x_coco() -> fdl.Config:
    return _gn_ws(with_resnext(experiment(faster_rcnn())))


def mask_rcnn_r50_fpn_gn_ws_all_2x_coco() -> fdl.Config:
    return _gn_ws(experiment(mask_rcnn(), schedule_2x()))


def mask_rcnn_r101_fpn_gn_ws_all_2x_coco() -> fdl.Config:
    return _gn_ws(with_depth(experiment(mask_rcnn(), schedule_2x()), 101))


def mask_rcnn_x50_32x4d_fpn_gn_ws_all_2x_coco() -> fdl.Config:
    return _gn_ws(with_resnext(experiment(mask_rcnn(), schedule_2x()), 50))


def mask_rcnn_x101_32x4d_fpn_gn_ws_all_2x_coco() -> fdl.Config:
    return _gn_ws(with_resnext(experiment(mask_rcnn(), schedule_2x())))


def mask_rcnn_r50_fpn_gn_ws_all_20_23_24e_coco() -> fdl.Config:
    return _gn_ws(experiment(mask_rcnn(), schedule_20_23_24e()))


def mask_rcnn_r101_fpn_gn_ws_all_20_23_24e_coco() -> fdl.Config:
    return _gn_ws(with_depth(experiment(mask_rcnn(), schedule_20_23_24e()), 101))


def mask_rcnn_x50_32x4d_fpn_gn_ws_all_20_23_24e_coco() -> fdl.Config:
    return _gn_ws(with_resnext(experiment(mask_rcnn(), schedule_20_23_24e()), 50))


def mask_rcnn_x101_32x4d_fpn_gn_ws_all_20_23_24e_coco() -> fdl.Config:
    return _gn_ws(with_resnext(experiment(mask_rcnn(), schedule_20_23_24e())))
