"""DFF (https://arxiv.org/abs/1611.07715) on ImageNet VID."""

from __future__ import annotations

import fiddle as fdl

from vidperc.video.dff import DFF

from ..common.video_detection import base, experiment, flow, one_near, with_r101, with_x101


def dff_faster_rcnn_r50_dc5_1x_imagenetvid() -> fdl.Config:
    detector = base(regions=512, proposals=1000)
    return experiment(fdl.Config(DFF, detector=detector, flow=flow(), key_interval=10), one_near())


def dff_faster_rcnn_r101_dc5_1x_imagenetvid() -> fdl.Config:
    config = dff_faster_rcnn_r50_dc5_1x_imagenetvid()
    return with_r101(config, config.model.detector)


def dff_faster_rcnn_x101_dc5_1x_imagenetvid() -> fdl.Config:
    config = dff_faster_rcnn_r50_dc5_1x_imagenetvid()
    return with_x101(config, config.model.detector)
