"""Detectors on Res2Net-101 v1d 26w 4s (https://arxiv.org/abs/1904.01169)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.classifiers import res2net
from vidperc.checkpoint.initial import InitialWeights
from vidperc.image.backbones.res2net import Res2Net

from ..common.schedules import schedule_2x, schedule_20e
from ..common.two_stage import cascade_mask_rcnn, cascade_rcnn, experiment, faster_rcnn, mask_rcnn
from .htc import htc_r50_fpn_20e_coco


def _with_res2net(config: fdl.Config) -> fdl.Config:
    """A Res2Net-101; the path of its ImageNet weights is given as `initial.backbone`."""
    config.model.backbone = fdl.Config(Res2Net, depth=101)
    config.initial = fdl.Config(InitialWeights, convert=res2net)
    # Published as `backbone.layer1.0.convs.0.weight` and `backbone.layer1.0.bns.0.weight`.
    parts = (
        (r"^(backbone\..*)\.convs\.(\d+)\.", r"\1.parts.\2.conv."),
        (r"^(backbone\..*)\.bns\.(\d+)\.", r"\1.parts.\2.norm."),
    )
    config.published_keys = (*parts, *config.published_keys)
    return config


def faster_rcnn_r2_101_fpn_2x_coco() -> fdl.Config:
    return _with_res2net(experiment(faster_rcnn(), schedule_2x()))


def mask_rcnn_r2_101_fpn_2x_coco() -> fdl.Config:
    return _with_res2net(experiment(mask_rcnn(), schedule_2x()))


def cascade_rcnn_r2_101_fpn_20e_coco() -> fdl.Config:
    return _with_res2net(experiment(cascade_rcnn(), schedule_20e()))


def cascade_mask_rcnn_r2_101_fpn_20e_coco() -> fdl.Config:
    return _with_res2net(experiment(cascade_mask_rcnn(), schedule_20e()))


def htc_r2_101_fpn_20e_coco() -> fdl.Config:
    return _with_res2net(htc_r50_fpn_20e_coco())
