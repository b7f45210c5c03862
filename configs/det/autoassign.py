"""AutoAssign (https://arxiv.org/abs/2007.03496)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.distance_coders import StrideDistanceCoder
from vidperc.image.heads.autoassign import AutoAssignCriterion, AutoAssignPredictor
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.necks.fpn import Caffe2FPN
from vidperc.image.priors import GridPoints

from ..common.dense import STRIDES, detectron_preprocessor, sgd, single_stage
from ..common.models import caffe_resnet
from ..common.schedules import schedule_1x


def autoassign_r50_fpn_8x2_1x_coco() -> fdl.Config:
    coder = fdl.Config(StrideDistanceCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(AutoAssignPredictor, classes=80, norm="gn"),
        priors=fdl.Config(GridPoints, strides=STRIDES, offset=0.0),
        criterion=fdl.Config(AutoAssignCriterion, coder=coder, classes=80),
        postprocessor=fdl.Config(DensePostprocessor, coder=coder, iou_threshold=0.6),
    )
    neck = fdl.Config(
        Caffe2FPN, in_channels=(256, 512, 1024, 2048), start_level=1, extra="on_input", relu_before_extra=True
    )
    return single_stage(
        head,
        backbone=caffe_resnet(),
        neck=neck,
        preprocess=detectron_preprocessor(),
        schedule=schedule_1x(optimizer=sgd(norm_decay=0.0), warmup_iterations=1000),
        keys=((r"^head\.predictor\.center_prior\.", "head.criterion."),),
    )
