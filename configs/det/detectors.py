"""DetectoRS (https://arxiv.org/abs/2006.02334): its neck RFP and its convolutions SAC, each alone and together."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.backbones.detectors import DetectoRSResNet, GuidedResNet, ImageFirstResNet
from vidperc.image.necks.rfp import RFP

from ..common.two_stage import cascade_rcnn, experiment
from .htc import htc_r50_fpn_1x_coco


def _with_sac(config: fdl.Config) -> fdl.Config:
    config.model.backbone = fdl.Config(DetectoRSResNet, depth=50, sac_stages=(1, 2, 3))
    return config


def _with_rfp(config: fdl.Config, **backbones: Any) -> fdl.Config:
    """`backbones` changes both of them."""
    config.model.backbone = fdl.Config(ImageFirstResNet, depth=50, **backbones)
    again = fdl.Config(GuidedResNet, depth=50, **backbones)
    config.model.neck = fdl.Config(RFP, in_channels=(256, 512, 1024, 2048), backbone=again)
    return config


def cascade_rcnn_r50_sac_1x_coco() -> fdl.Config:
    return _with_sac(experiment(cascade_rcnn()))


def cascade_rcnn_r50_rfp_1x_coco() -> fdl.Config:
    return _with_rfp(experiment(cascade_rcnn()))


def detectors_cascade_rcnn_r50_1x_coco() -> fdl.Config:
    return _with_rfp(experiment(cascade_rcnn()), sac_stages=(1, 2, 3))


def htc_r50_sac_1x_coco() -> fdl.Config:
    return _with_sac(htc_r50_fpn_1x_coco())


def htc_r50_rfp_1x_coco() -> fdl.Config:
    return _with_rfp(htc_r50_fpn_1x_coco())


def detectors_htc_r50_1x_coco() -> fdl.Config:
    return _with_rfp(htc_r50_fpn_1x_coco(), sac_stages=(1, 2, 3))
