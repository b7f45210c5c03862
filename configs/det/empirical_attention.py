"""Faster R-CNN with attention in C4 and C5 (https://arxiv.org/abs/1904.05873)."""

from __future__ import annotations

import fiddle as fdl
from torch import nn

from vidperc.image.backbones.empirical_attention import AttentionBottleneck, GeneralizedAttention, SaliencyAttention

from ..common.backbones import with_dconv
from ..common.two_stage import experiment, faster_rcnn


def _with_attention(config: fdl.Config, attention: type[nn.Module]) -> fdl.Config:
    block = fdl.Partial(AttentionBottleneck, attention=attention)
    config.model.backbone.block_stages = dict.fromkeys((2, 3), block)
    return config


def faster_rcnn_r50_fpn_attention_1111_1x_coco() -> fdl.Config:
    return _with_attention(experiment(faster_rcnn()), GeneralizedAttention)


def faster_rcnn_r50_fpn_attention_0010_1x_coco() -> fdl.Config:
    return _with_attention(experiment(faster_rcnn()), SaliencyAttention)


def faster_rcnn_r50_fpn_attention_1111_dcn_1x_coco() -> fdl.Config:
    return with_dconv(_with_attention(experiment(faster_rcnn()), GeneralizedAttention))


def faster_rcnn_r50_fpn_attention_0010_dcn_1x_coco() -> fdl.Config:
    return with_dconv(_with_attention(experiment(faster_rcnn()), SaliencyAttention))
