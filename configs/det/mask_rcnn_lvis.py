"""Mask R-CNN on LVIS (https://arxiv.org/abs/1908.03195), images sampled by the rarity of what they show."""

from __future__ import annotations

import fiddle as fdl

from ..common.backbones import with_depth, with_resnext
from ..common.classes import lvis_v1_classes
from ..common.other_data import on_lvis
from ..common.schedules import schedule_1x, schedule_2x
from ..common.two_stage import experiment, mask_rcnn


def _lvis(classes: int, names: tuple[str, ...], schedule: fdl.Config) -> fdl.Config:
    """Rare classes have low scores: nearly all detections are kept, 300 per image."""
    config = experiment(mask_rcnn(classes), schedule, names)
    config.model.roi_head.postprocessor.score_threshold = 0.0001
    config.model.roi_head.postprocessor.max_detections = 300
    return config


def _lvis_v05() -> fdl.Config:
    """1230 classes, which no list here names."""
    config = _lvis(1230, tuple(f"category {i + 1}" for i in range(1230)), schedule_2x())
    return on_lvis(config, "data/lvis_v0.5", "annotations/lvis_v0.5_train.json")


def _lvis_v1() -> fdl.Config:
    config = _lvis(1203, lvis_v1_classes(), schedule_1x())
    return on_lvis(config, "data/lvis_v1", "annotations/lvis_v1_train.json", lvis_v1_classes())


def mask_rcnn_r50_fpn_sample1e_3_mstrain_2x_lvis_v0_5() -> fdl.Config:
    return _lvis_v05()


def mask_rcnn_r101_fpn_sample1e_3_mstrain_2x_lvis_v0_5() -> fdl.Config:
    return with_depth(_lvis_v05(), 101)


def mask_rcnn_x101_32x4d_fpn_sample1e_3_mstrain_2x_lvis_v0_5() -> fdl.Config:
    return with_resnext(_lvis_v05())


def mask_rcnn_x101_64x4d_fpn_sample1e_3_mstrain_2x_lvis_v0_5() -> fdl.Config:
    return with_resnext(_lvis_v05(), 101, 64, 4)


def mask_rcnn_r50_fpn_sample1e_3_mstrain_1x_lvis_v1() -> fdl.Config:
    return _lvis_v1()


def mask_rcnn_r101_fpn_sample1e_3_mstrain_1x_lvis_v1() -> fdl.Config:
    return with_depth(_lvis_v1(), 101)


def mask_rcnn_x101_32x4d_fpn_sample1e_3_mstrain_1x_lvis_v1() -> fdl.Config:
    return with_resnext(_lvis_v1())


def mask_rcnn_x101_64x4d_fpn_sample1e_3_mstrain_1x_lvis_v1() -> fdl.Config:
    return with_resnext(_lvis_v1(), 101, 64, 4)
