"""FGFA (https://arxiv.org/abs/1703.10025) on ImageNet VID: 31 frames around each."""

from __future__ import annotations

import fiddle as fdl

from vidperc.video.aggregation import Aggregator
from vidperc.video.fgfa import FGFA

from ..common.video_detection import base, experiment, flow, one_on_each_side, with_r101, with_x101


def fgfa_faster_rcnn_r50_dc5_1x_imagenetvid() -> fdl.Config:
    aggregator = fdl.Config(Aggregator, channels=512, convs=1)
    model = fdl.Config(FGFA, detector=base(), flow=flow(), aggregator=aggregator, radius=15)
    return experiment(model, one_on_each_side())


def fgfa_faster_rcnn_r101_dc5_1x_imagenetvid() -> fdl.Config:
    config = fgfa_faster_rcnn_r50_dc5_1x_imagenetvid()
    return with_r101(config, config.model.detector)


def fgfa_faster_rcnn_x101_dc5_1x_imagenetvid() -> fdl.Config:
    config = fgfa_faster_rcnn_r50_dc5_1x_imagenetvid()
    return with_x101(config, config.model.detector)
