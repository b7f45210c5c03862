"""ATSS with the dynamic head (https://arxiv.org/abs/2106.08322) on BDD100K."""

from __future__ import annotations

from collections.abc import Callable

import fiddle as fdl
from torch import nn

from vidperc.image.necks.dyhead import DyHead

from ..common.atss import atss_head
from ..common.classes import bdd100k_classes
from ..common.dense import pyramid, sgd, single_stage
from ..common.det_data import on_bdd100k_by_length
from ..common.models import preprocessor, resnet
from ..common.schedules import schedule_1x, schedule_3x


def _dyhead(schedule: Callable[..., fdl.Config] = schedule_1x, depth: int = 50) -> fdl.Config:
    """32 images per step."""
    classes = bdd100k_classes()
    head = atss_head(len(classes))
    head.predictor.convs = 0
    config = single_stage(
        head,
        backbone=resnet(depth),
        neck=fdl.Config(nn.Sequential, pyramid(), fdl.Config(DyHead)),
        preprocess=preprocessor((1280, 720)),
        classes=classes,
        schedule=schedule(batch_size=32, optimizer=sgd(0.02)),
        keys=((r"\.(spatial_conv_\w+)\.conv\.weight$", r".\1.weight"),),
    )
    return on_bdd100k_by_length(config)


def atss_r50_fpn_dyhead_1x_det_bdd100k() -> fdl.Config:
    return _dyhead()


def atss_r50_fpn_dyhead_3x_det_bdd100k() -> fdl.Config:
    return _dyhead(schedule_3x)


def atss_r101_fpn_dyhead_3x_det_bdd100k() -> fdl.Config:
    return _dyhead(schedule_3x, 101)
