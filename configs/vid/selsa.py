"""SELSA (https://arxiv.org/abs/1907.06390) on ImageNet VID: 14 references spread over the video."""

from __future__ import annotations

import fiddle as fdl

from vidperc.video.selsa import SELSA, SELSABoxHead, SELSAWindow
from vidperc.video.temporal_roi_align import TemporalRoIAlign, TemporalRoIAlignSELSA

from ..common.video_detection import base, experiment, one_on_each_side, with_r101, with_x101


def selsa_faster_rcnn_r50_dc5_1x_imagenetvid() -> fdl.Config:
    detector = base()
    detector.roi_head.box_head = fdl.Config(SELSABoxHead, 512, classes=30, fcs=2)
    return experiment(fdl.Config(SELSA, detector=detector, references=14), one_on_each_side())


def selsa_faster_rcnn_r101_dc5_1x_imagenetvid() -> fdl.Config:
    config = selsa_faster_rcnn_r50_dc5_1x_imagenetvid()
    return with_r101(config, config.model.detector)


def selsa_faster_rcnn_x101_dc5_1x_imagenetvid() -> fdl.Config:
    config = selsa_faster_rcnn_r50_dc5_1x_imagenetvid()
    return with_x101(config, config.model.detector)


def selsa_faster_rcnn_r50_dc5_fp16_1x_imagenetvid() -> fdl.Config:
    """Trained in half precision; load it with `precision="fp16"` to run it so too."""
    config = selsa_faster_rcnn_r50_dc5_1x_imagenetvid()
    config.schedule.precision = "fp16"
    return config


def selsa_faster_rcnn_r50_dc5_window() -> fdl.Config:
    """For live sources: the published network with references up to seven frames before and after."""
    config = selsa_faster_rcnn_r50_dc5_1x_imagenetvid()
    config.model = fdl.Config(SELSAWindow, detector=config.model.detector, radius=7, stride=1)
    return config


def selsa_faster_rcnn_r101_dc5_window() -> fdl.Config:
    config = selsa_faster_rcnn_r50_dc5_window()
    return with_r101(config, config.model.detector)


def selsa_troialign_faster_rcnn_r50_dc5_7e_imagenetvid() -> fdl.Config:
    """With Temporal RoI Align (https://arxiv.org/abs/2109.03495) and a third hidden layer."""
    detector = base()
    detector.roi_head.box_head = fdl.Config(SELSABoxHead, 512, classes=30, fcs=3)
    align = fdl.Config(TemporalRoIAlign, 512, similar=2, blocks=4)
    model = fdl.Config(TemporalRoIAlignSELSA, detector=detector, align=align, references=14)
    return experiment(model, one_on_each_side())


def selsa_troialign_faster_rcnn_r101_dc5_7e_imagenetvid() -> fdl.Config:
    config = selsa_troialign_faster_rcnn_r50_dc5_7e_imagenetvid()
    return with_r101(config, config.model.detector)


def selsa_troialign_faster_rcnn_x101_dc5_7e_imagenetvid() -> fdl.Config:
    config = selsa_troialign_faster_rcnn_r50_dc5_7e_imagenetvid()
    return with_x101(config, config.model.detector)
