"""Path aggregation (PANet, https://arxiv.org/abs/1803.01534) as the neck of Faster R-CNN."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.necks.pafpn import PAFPN

from ..common.two_stage import experiment, faster_rcnn


def faster_rcnn_r50_pafpn_1x_coco() -> fdl.Config:
    config = experiment(faster_rcnn())
    config.model.neck = fdl.Config(PAFPN, in_channels=(256, 512, 1024, 2048))
    return config
