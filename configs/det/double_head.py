"""Double-Head R-CNN (https://arxiv.org/abs/1904.06493)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.roi_heads.double_head import DoubleBoxHead, DoubleExtractor, WeightedCriterion

from ..common.two_stage import experiment, faster_rcnn, smooth_l1


def dh_faster_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    config = experiment(faster_rcnn())
    roi_head = config.model.roi_head
    roi_head.extractor = fdl.Config(DoubleExtractor)
    roi_head.box_head = fdl.Config(DoubleBoxHead)
    roi_head.criterion.regression.loss = smooth_l1()
    roi_head.criterion = fdl.Config(WeightedCriterion, roi_head.criterion)
    return config
