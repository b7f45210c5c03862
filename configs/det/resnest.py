"""Detectors on ResNeSt (https://arxiv.org/abs/2004.08955), batch norms in backbone and heads over all processes."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.checkpoint.classifiers import resnest
from vidperc.checkpoint.initial import InitialWeights
from vidperc.image.backbones.resnest import ResNeSt

from ..common.det_data import any_short_side, on_coco, six_short_sides
from ..common.models import preprocessor
from ..common.two_stage import cascade_mask_rcnn, cascade_rcnn, experiment, faster_rcnn, mask_rcnn


def _resnest(model: fdl.Config, depth: int, resize: fdl.Config) -> fdl.Config:
    """The detector for 12 epochs; the path of the backbone's ImageNet weights is given as `initial.backbone`."""
    stem_channels = 64 if depth == 50 else 128
    model.backbone = fdl.Config(ResNeSt, depth=depth, stem_channels=stem_channels, norm="syncbn", norm_eval=False)
    model.preprocessor = preprocessor(mean=(123.68, 116.779, 103.939), std=(58.393, 57.12, 57.375))
    roi_head: Any = model.roi_head
    for head in getattr(roi_head, "box_heads", None) or [roi_head.box_head]:
        head.norm, head.convs, head.fcs = "syncbn", 4, 1
    if getattr(roi_head, "mask", None) is not None:
        for head in roi_head.mask.heads:
            head.norm = "syncbn"
    config = experiment(model)
    config.initial = fdl.Config(InitialWeights, convert=resnest)
    return on_coco(config, resize)


def _masks(model: fdl.Config, depth: int) -> fdl.Config:
    return _resnest(model, depth, six_short_sides())


def faster_rcnn_s50_fpn_syncbn_backbone_head_mstrain_range_1x_coco() -> fdl.Config:
    return _resnest(faster_rcnn(), 50, any_short_side())


def faster_rcnn_s101_fpn_syncbn_backbone_head_mstrain_range_1x_coco() -> fdl.Config:
    return _resnest(faster_rcnn(), 101, any_short_side())


def mask_rcnn_s50_fpn_syncbn_backbone_head_mstrain_1x_coco() -> fdl.Config:
    return _masks(mask_rcnn(), 50)


def mask_rcnn_s101_fpn_syncbn_backbone_head_mstrain_1x_coco() -> fdl.Config:
    return _masks(mask_rcnn(), 101)


def cascade_rcnn_s50_fpn_syncbn_backbone_head_mstrain_range_1x_coco() -> fdl.Config:
    return _resnest(cascade_rcnn(), 50, any_short_side())


def cascade_rcnn_s101_fpn_syncbn_backbone_head_mstrain_range_1x_coco() -> fdl.Config:
    return _resnest(cascade_rcnn(), 101, any_short_side())


def cascade_mask_rcnn_s50_fpn_syncbn_backbone_head_mstrain_1x_coco() -> fdl.Config:
    return _masks(cascade_mask_rcnn(), 50)


def cascade_mask_rcnn_s101_fpn_syncbn_backbone_head_mstrain_1x_coco() -> fdl.Config:
    return _masks(cascade_mask_rcnn(), 101)
