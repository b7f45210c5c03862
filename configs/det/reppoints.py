"""RepPoints (https://arxiv.org/abs/1904.11490) and its baselines with boxes for points."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.image.assigners import MaxIoUAssigner, NearestPointAssigner
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.reppoints import (
    GridPredictor,
    MinMaxBoxes,
    MomentBoxes,
    OffsetCoder,
    RepPointsCriterion,
    RepPointsPredictor,
    SquareAssigner,
)
from vidperc.image.priors import GridPoints

from ..common.dense import STRIDES, pyramid, sgd, single_stage
from ..common.models import deformable, resnet, resnext
from ..common.schedules import schedule_1x, schedule_2x


def _head(to_boxes: fdl.Config, predictor: Any = RepPointsPredictor) -> fdl.Config:
    coder = fdl.Config(OffsetCoder)
    criterion = fdl.Config(
        RepPointsCriterion,
        first_assigner=fdl.Config(NearestPointAssigner, scale=4.0),
        assigner=fdl.Config(MaxIoUAssigner, positive=0.5, negative=0.4),
        coder=coder,
    )
    return fdl.Config(
        DenseHead,
        predictor=fdl.Config(predictor, classes=80, to_boxes=to_boxes),
        priors=fdl.Config(GridPoints, strides=STRIDES, offset=0.0),
        criterion=criterion,
        postprocessor=fdl.Config(DensePostprocessor, coder=coder),
    )


def _reppoints(
    head: fdl.Config, schedule: Any = schedule_1x, neck: fdl.Config | None = None, **parts: Any
) -> fdl.Config:
    names = ((r"\.moment_transfer$", ".to_boxes.moment_transfer"),)
    neck = neck or pyramid(extra="on_input")
    return single_stage(head, neck=neck, schedule=schedule(optimizer=sgd()), keys=names, **parts)


def _group_norm(head: fdl.Config, schedule: Any = schedule_1x, **parts: Any) -> fdl.Config:
    """With group normalisation in neck and head."""
    head.predictor.norm = "gn"
    return _reppoints(head, schedule, pyramid(extra="on_input", norm="gn"), **parts)


def _moment() -> fdl.Config:
    return _head(fdl.Config(MomentBoxes))


def reppoints_moment_r50_fpn_1x_coco() -> fdl.Config:
    return _reppoints(_moment())


def reppoints_moment_r50_fpn_gn_neck_head_1x_coco() -> fdl.Config:
    return _group_norm(_moment())


def reppoints_moment_r50_fpn_gn_neck_2Bhead_1x_coco() -> fdl.Config:
    """The same under the name that the published table misspells."""
    return reppoints_moment_r50_fpn_gn_neck_head_1x_coco()


def reppoints_moment_r50_fpn_gn_neck_head_2x_coco() -> fdl.Config:
    return _group_norm(_moment(), schedule_2x)


def reppoints_moment_r101_fpn_gn_neck_head_2x_coco() -> fdl.Config:
    return _group_norm(_moment(), schedule_2x, backbone=resnet(101))


def reppoints_moment_r101_fpn_dconv_c3_c5_gn_neck_head_2x_coco() -> fdl.Config:
    return _group_norm(_moment(), schedule_2x, backbone=resnet(101, conv_stages=deformable()))


def reppoints_moment_x101_fpn_dconv_c3_c5_gn_neck_head_2x_coco() -> fdl.Config:
    return _group_norm(_moment(), schedule_2x, backbone=resnext(conv_stages=deformable()))


def reppoints_minmax_r50_fpn_gn_neck_head_1x_coco() -> fdl.Config:
    """Boxes that hold all points."""
    return _group_norm(_head(fdl.Config(MinMaxBoxes)))


def reppoints_partial_minmax_r50_fpn_gn_neck_head_1x_coco() -> fdl.Config:
    """Boxes that hold the first four points."""
    return _group_norm(_head(fdl.Config(MinMaxBoxes, count=4)))


def bbox_r50_grid_center_fpn_gn_neck_Bhead_1x_coco() -> fdl.Config:
    """Boxes in the place of points, without anchors."""
    return _group_norm(_head(fdl.Config(MinMaxBoxes), GridPredictor))


def bbox_r50_grid_center_fpn_gn_neck_head_1x_coco() -> fdl.Config:
    """The same under the name that the published table misspells."""
    return bbox_r50_grid_center_fpn_gn_neck_Bhead_1x_coco()


def bbox_r50_grid_fpn_gn_neck_head_1x_coco() -> fdl.Config:
    """Boxes in the place of points, one anchor per location."""
    config = bbox_r50_grid_center_fpn_gn_neck_Bhead_1x_coco()
    overlap = fdl.Config(MaxIoUAssigner, positive=0.5, negative=0.4)
    config.model.head.criterion.first_assigner = fdl.Config(SquareAssigner, assigner=overlap)
    return config
