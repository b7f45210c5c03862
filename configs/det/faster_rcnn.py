"""Faster R-CNN (https://arxiv.org/abs/1506.01497) with FPN (https://arxiv.org/abs/1612.03144)."""

from __future__ import annotations

import fiddle as fdl

from ..common.two_stage import experiment, faster_rcnn


def faster_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return experiment(faster_rcnn())
