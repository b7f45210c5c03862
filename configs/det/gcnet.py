"""GCNet (https://arxiv.org/abs/1904.11492): context blocks in C3 to C5 of Mask and Cascade Mask R-CNN."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.backbones.gcnet import ContextBottleneck

from ..common.backbones import with_dconv, with_depth, with_resnext, with_syncbn
from ..common.two_stage import cascade_mask_rcnn, experiment, mask_rcnn


def with_context(config: fdl.Config, ratio: int) -> fdl.Config:
    """Context blocks whose hidden layer is a `ratio`-th of the width."""
    block = fdl.Partial(ContextBottleneck, ratio=1 / ratio)
    config.model.backbone.block_stages = dict.fromkeys((1, 2, 3), block)
    return config


def _x101_cascade() -> fdl.Config:
    return with_syncbn(with_resnext(experiment(cascade_mask_rcnn())))


def mask_rcnn_r50_fpn_r16_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(experiment(mask_rcnn()), 16)


def mask_rcnn_r50_fpn_r4_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(experiment(mask_rcnn()), 4)


def mask_rcnn_r101_fpn_r16_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_depth(experiment(mask_rcnn()), 101), 16)


def mask_rcnn_r101_fpn_r4_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_depth(experiment(mask_rcnn()), 101), 4)


def mask_rcnn_r50_fpn_syncbn_backbone_r16_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_syncbn(experiment(mask_rcnn())), 16)


def mask_rcnn_r50_fpn_syncbn_backbone_r4_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_syncbn(experiment(mask_rcnn())), 4)


def mask_rcnn_r101_fpn_syncbn_backbone_r16_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_syncbn(with_depth(experiment(mask_rcnn()), 101)), 16)


def mask_rcnn_r101_fpn_syncbn_backbone_r4_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_syncbn(with_depth(experiment(mask_rcnn()), 101)), 4)


def mask_rcnn_x101_32x4d_fpn_syncbn_backbone_r16_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_syncbn(with_resnext(experiment(mask_rcnn()))), 16)


def mask_rcnn_x101_32x4d_fpn_syncbn_backbone_r4_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_syncbn(with_resnext(experiment(mask_rcnn()))), 4)


def cascade_mask_rcnn_x101_32x4d_fpn_syncbn_backbone_r16_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(_x101_cascade(), 16)


def cascade_mask_rcnn_x101_32x4d_fpn_syncbn_backbone_r4_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(_x101_cascade(), 4)


def cascade_mask_rcnn_x101_32x4d_fpn_syncbn_backbone_dconv_c3_c5_r16_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_dconv(_x101_cascade()), 16)


def cascade_mask_rcnn_x101_32x4d_fpn_syncbn_backbone_dconv_c3_c5_r4_gcb_c3_c5_1x_coco() -> fdl.Config:
    return with_context(with_dconv(_x101_cascade()), 4)
