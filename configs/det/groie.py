"""GRoIE (https://arxiv.org/abs/2004.13665): regions from all levels, in Faster, Grid and Mask R-CNN."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.roi_heads.groie import AllLevelsRoIExtractor

from ..common.backbones import with_depth, with_syncbn
from ..common.grid_rcnn import grid_rcnn
from ..common.schedules import schedule_1x
from ..common.two_stage import experiment, faster_rcnn, mask_rcnn
from .gcnet import with_context


def _mask_rcnn_groie() -> fdl.Config:
    model = mask_rcnn()
    model.roi_head.extractor = fdl.Config(AllLevelsRoIExtractor, 7)
    model.roi_head.mask.extractor = fdl.Config(AllLevelsRoIExtractor, 14)
    return experiment(model)


def faster_rcnn_r50_fpn_groie_1x_coco() -> fdl.Config:
    model = faster_rcnn()
    model.roi_head.extractor = fdl.Config(AllLevelsRoIExtractor, 7)
    return experiment(model)


def grid_rcnn_r50_fpn_gn_head_groie_1x_coco() -> fdl.Config:
    config = grid_rcnn(schedule_1x())
    config.model.roi_head.extractor = fdl.Config(AllLevelsRoIExtractor, 7)
    config.model.roi_head.grid_extractor = fdl.Config(AllLevelsRoIExtractor, 14)
    return config


def mask_rcnn_r50_fpn_groie_1x_coco() -> fdl.Config:
    return _mask_rcnn_groie()


def mask_rcnn_r50_fpn_syncbn_backbone_r4_gcb_c3_c5_groie_1x_coco() -> fdl.Config:
    return with_context(with_syncbn(_mask_rcnn_groie()), 4)


def mask_rcnn_r101_fpn_syncbn_backbone_r4_gcb_c3_c5_groie_1x_coco() -> fdl.Config:
    return with_depth(with_context(with_syncbn(_mask_rcnn_groie()), 4), 101)
