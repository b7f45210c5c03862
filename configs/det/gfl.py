"""GFL (https://arxiv.org/abs/2006.04388)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.assigners import ATSSAssigner
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.gfl import DistributionCoder, GFLCriterion, GFLPredictor

from ..common.dense import one_anchor, sgd, single_stage
from ..common.det_data import any_short_side, on_coco
from ..common.models import deformable, resnet, resnext
from ..common.schedules import schedule_1x, schedule_2x


def _gfl_head(classes: int = 80) -> fdl.Config:
    """The head with one anchor per location and 17 values for each side of a box."""
    coder = fdl.Config(DistributionCoder)
    return fdl.Config(
        DenseHead,
        predictor=fdl.Config(GFLPredictor, classes=classes),
        priors=one_anchor(),
        criterion=fdl.Config(GFLCriterion, assigner=fdl.Config(ATSSAssigner), coder=coder),
        postprocessor=fdl.Config(DensePostprocessor, coder=coder, iou_threshold=0.6),
    )


def gfl_experiment(schedule: Any = schedule_1x, **parts: Any) -> fdl.Config:
    """A detector on COCO; the published 0, 1, 2 ... of the distributions are made anew."""
    constants = ((r"\.integral\.project$", None),)
    return single_stage(_gfl_head(), schedule=schedule(optimizer=sgd()), keys=constants, **parts)


def gfl_mstrain_2x(*, backbone: fdl.Config) -> fdl.Config:
    """Twice as long, on images in any of many sizes."""
    return on_coco(gfl_experiment(schedule_2x, backbone=backbone), any_short_side(480, 800))


def gfl_r50_fpn_1x_coco() -> fdl.Config:
    return gfl_experiment()


def gfl_r50_fpn_mstrain_2x_coco() -> fdl.Config:
    return gfl_mstrain_2x(backbone=resnet())


def gfl_r101_fpn_mstrain_2x_coco() -> fdl.Config:
    return gfl_mstrain_2x(backbone=resnet(101))


def gfl_r101_fpn_dconv_c3_c5_mstrain_2x_coco() -> fdl.Config:
    return gfl_mstrain_2x(backbone=resnet(101, conv_stages=deformable()))


def gfl_x101_32x4d_fpn_mstrain_2x_coco() -> fdl.Config:
    return gfl_mstrain_2x(backbone=resnext())


def gfl_x101_32x4d_fpn_dconv_c4_c5_mstrain_2x_coco() -> fdl.Config:
    return gfl_mstrain_2x(backbone=resnext(conv_stages=deformable((2, 3))))
