"""PointRend (https://arxiv.org/abs/1912.08193) on Mask R-CNN."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.roi_heads.point_rend import CoarseMaskHead, PointHead, PointRendBranch, PointRoIExtractor

from ..common.backbones import with_caffe
from ..common.det_data import on_coco, one_short_side
from ..common.schedules import schedule_3x
from ..common.two_stage import experiment, mask_rcnn


def _point_rend(schedule: fdl.Config | None = None) -> fdl.Config:
    """Mask R-CNN with masks of 224x224, which are refined point by point."""
    model = mask_rcnn()
    model.roi_head.mask = fdl.Config(
        PointRendBranch,
        extractor=fdl.Config(PointRoIExtractor),
        heads=[fdl.Config(CoarseMaskHead)],
        point_head=fdl.Config(PointHead),
    )
    config = with_caffe(experiment(model, schedule))
    return on_coco(config, one_short_side(*range(640, 801, 32)))


def point_rend_r50_caffe_fpn_mstrain_1x_coco() -> fdl.Config:
    return _point_rend()


def point_rend_r50_caffe_fpn_mstrain_3x_coco() -> fdl.Config:
    config = _point_rend(schedule_3x())
    config.schedule.milestones = (28, 34)
    return config
