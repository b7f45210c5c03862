"""NAS-FCOS (https://arxiv.org/abs/1906.04423)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.assigners import PointRangeAssigner
from vidperc.image.distance_coders import DistanceCoder
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.fcos import FCOSCriterion, FCOSPredictor
from vidperc.image.heads.nas_fcos import NASFCOSPredictor
from vidperc.image.necks.nas_fcos import NASFCOSFPN
from vidperc.image.priors import GridPoints

from ..common.dense import STRIDES, sgd, single_stage
from ..common.models import caffe_preprocessor, caffe_resnet
from ..common.schedules import schedule_1x


def _nas_fcos(predictor: Any) -> fdl.Config:
    coder = fdl.Config(DistanceCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(predictor, classes=80, norm="gn"),
        priors=fdl.Config(GridPoints, strides=STRIDES),
        criterion=fdl.Config(FCOSCriterion, assigner=fdl.Config(PointRangeAssigner, strides=STRIDES), coder=coder),
        postprocessor=fdl.Config(DensePostprocessor, coder=coder, iou_threshold=0.6),
    )
    return single_stage(
        head,
        backbone=caffe_resnet(norm="exact_bn"),
        neck=fdl.Config(NASFCOSFPN, in_channels=(256, 512, 1024, 2048)),
        preprocess=caffe_preprocessor(),
        schedule=schedule_1x(optimizer=sgd(bias_lr=2.0, bias_decay=0.0)),
    )


def nas_fcos_fcoshead_r50_caffe_fpn_gn_head_4x4_1x_coco() -> fdl.Config:
    """FCOS's head on the pyramid."""
    return _nas_fcos(FCOSPredictor)


def nas_fcos_nashead_r50_caffe_fpn_gn_head_4x4_1x_coco() -> fdl.Config:
    return _nas_fcos(NASFCOSPredictor)
