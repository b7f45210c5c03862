"""Dynamic R-CNN (https://arxiv.org/abs/2004.06002)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.roi_heads.dynamic import DynamicRoIHead

from ..common.two_stage import experiment, faster_rcnn, smooth_l1


def dynamic_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    config = experiment(faster_rcnn())
    model = config.model
    model.rpn.select.nms_threshold = model.rpn.select_training.nms_threshold = 0.85
    model.roi_head.criterion.regression.loss = smooth_l1()
    fdl.update_callable(model.roi_head, DynamicRoIHead)
    return config
