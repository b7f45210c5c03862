"""Faster and Mask R-CNN with CARAFE (https://arxiv.org/abs/1905.02188) as upsampling."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.necks.fpn_carafe import CARAFEPyramid
from vidperc.image.roi_heads.carafe_mask import CARAFEMaskHead

from ..common.two_stage import experiment, faster_rcnn, mask_rcnn


def _with_carafe(config: fdl.Config) -> fdl.Config:
    """In the pyramid, whose coarsest map has a stride of 64."""
    config.model.neck = fdl.Config(CARAFEPyramid, in_channels=(256, 512, 1024, 2048))
    config.model.preprocessor.pad_divisor = 64
    return config


def faster_rcnn_r50_fpn_carafe_1x_coco() -> fdl.Config:
    return _with_carafe(experiment(faster_rcnn()))


def mask_rcnn_r50_fpn_carafe_1x_coco() -> fdl.Config:
    config = _with_carafe(experiment(mask_rcnn()))
    config.model.roi_head.mask.heads = [fdl.Config(CARAFEMaskHead)]
    return config
