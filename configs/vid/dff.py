"""DFF (https://arxiv.org/abs/1611.07715) on ImageNet VID."""

from __future__ import annotations

import fiddle as fdl

from vidperc.video.dff import DFF

from ..common.two_stage import faster_rcnn_dc5
from ..common.video_detection import RESNEXT, experiment, flow


def dff_faster_rcnn_r50_dc5_1x_imagenetvid() -> fdl.Config:
    return experiment(fdl.Config(DFF, detector=faster_rcnn_dc5(), flow=flow(), key_interval=10))


def dff_faster_rcnn_r101_dc5_1x_imagenetvid() -> fdl.Config:
    config = dff_faster_rcnn_r50_dc5_1x_imagenetvid()
    config.model.detector.backbone.depth = 101
    return config


def dff_faster_rcnn_x101_dc5_1x_imagenetvid() -> fdl.Config:
    config = dff_faster_rcnn_r50_dc5_1x_imagenetvid()
    fdl.assign(config.model.detector.backbone, **RESNEXT)
    return config
