"""SABL (https://arxiv.org/abs/1912.04260) on RetinaNet, Faster and Cascade R-CNN."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.assigners import ApproxMaxIoUAssigner
from vidperc.image.bucket_coder import BucketCoder
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.sabl import SABLCriterion, SABLPostprocessor, SABLPredictor
from vidperc.image.priors import AnchorGenerator, octave_scales
from vidperc.image.roi_heads.sabl import SABLBoxCriterion, SABLBoxPostprocessor, SABLHead

from ..common.backbones import with_depth
from ..common.dense import STRIDES, pyramid, sgd, single_stage
from ..common.det_data import any_short_side, on_coco
from ..common.models import resnet
from ..common.schedules import schedule_1x, schedule_2x
from ..common.two_stage import cascade_rcnn, experiment, faster_rcnn


def _faster() -> fdl.Config:
    config = experiment(faster_rcnn())
    head = config.model.roi_head
    head.box_head = fdl.Config(SABLHead)
    head.coder = fdl.Config(BucketCoder, scale=1.7)
    head.criterion = fdl.Config(SABLBoxCriterion)
    head.postprocessor = fdl.Config(SABLBoxPostprocessor)
    return config


def _cascade() -> fdl.Config:
    config = experiment(cascade_rcnn())
    head = config.model.roi_head
    head.box_heads = [fdl.Config(SABLHead) for _ in head.stages]
    for stage, scale in zip(head.stages, (1.7, 1.5, 1.3), strict=True):
        stage.coder = fdl.Config(BucketCoder, scale=scale)
        stage.criterion = fdl.Config(SABLBoxCriterion)
    head.postprocessor = fdl.Config(SABLBoxPostprocessor)
    return config


def _retinanet(norm: str | None = None, schedule: Any = schedule_1x, depth: int = 50) -> fdl.Config:
    """One square prior per location, assigned as RetinaNet's nine anchors there."""
    anchors = fdl.Config(AnchorGenerator, strides=STRIDES, ratios=(0.5, 1.0, 2.0), scales=octave_scales())
    coder = fdl.Config(BucketCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(SABLPredictor, classes=80, norm=norm),
        priors=fdl.Config(AnchorGenerator, strides=STRIDES, ratios=(1.0,), scales=(4.0,)),
        criterion=fdl.Config(
            SABLCriterion, assigner=fdl.Config(ApproxMaxIoUAssigner, anchors, positive=0.5, negative=0.4), coder=coder
        ),
        postprocessor=fdl.Config(SABLPostprocessor, coder=coder),
    )
    neck = pyramid(extra="on_input")
    return single_stage(head, neck=neck, backbone=resnet(depth), schedule=schedule(optimizer=sgd()))


def sabl_faster_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return _faster()


def sabl_faster_rcnn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(_faster(), 101)


def sabl_cascade_rcnn_r50_fpn_1x_coco() -> fdl.Config:
    return _cascade()


def sabl_cascade_rcnn_r101_fpn_1x_coco() -> fdl.Config:
    return with_depth(_cascade(), 101)


def sabl_retinanet_r50_fpn_1x_coco() -> fdl.Config:
    return _retinanet()


def sabl_retinanet_r50_fpn_gn_1x_coco() -> fdl.Config:
    return _retinanet("gn")


def sabl_retinanet_r101_fpn_1x_coco() -> fdl.Config:
    return _retinanet(depth=101)


def sabl_retinanet_r101_fpn_gn_1x_coco() -> fdl.Config:
    return _retinanet("gn", depth=101)


def sabl_retinanet_r101_fpn_gn_2x_ms_640_800_coco() -> fdl.Config:
    return on_coco(_retinanet("gn", schedule_2x, 101), any_short_side())


def sabl_retinanet_r101_fpn_gn_2x_ms_480_960_coco() -> fdl.Config:
    return on_coco(_retinanet("gn", schedule_2x, 101), any_short_side(480, 960))
