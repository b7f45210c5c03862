"""Faster R-CNN frame by frame on ImageNet VID: the base of the video detectors, and what they have to beat."""

from __future__ import annotations

import fiddle as fdl

from ..common.two_stage import two_stage_keys
from ..common.video_detection import base, experiment, with_r101, with_x101


def faster_rcnn_r50_dc5_1x_imagenetvid() -> fdl.Config:
    config = experiment(base())
    # Detectors are saved alone or as the part `detector` of a video detector.
    config.published_keys = ((r"^detector\.", ""), *two_stage_keys())
    return config


def faster_rcnn_r101_dc5_1x_imagenetvid() -> fdl.Config:
    config = faster_rcnn_r50_dc5_1x_imagenetvid()
    return with_r101(config, config.model)


def faster_rcnn_x101_dc5_1x_imagenetvid() -> fdl.Config:
    config = faster_rcnn_r50_dc5_1x_imagenetvid()
    return with_x101(config, config.model)
