"""Cascade RPN (https://arxiv.org/abs/1909.06720), alone and with Fast and Faster R-CNN."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.cascade_rpn import AdaptiveStage, CascadeRPNHead, DilatedStage, RegionAssigner
from vidperc.image.heads.rpn import ProposalSelector, RPNCriterion
from vidperc.image.losses import linear_iou_loss
from vidperc.image.priors import AnchorGenerator
from vidperc.image.regression import BoxRegression, CodeRegression
from vidperc.image.roi_heads.criterion import ClassWeightedCriterion
from vidperc.image.samplers import RandomSampler

from ..common.backbones import with_caffe
from ..common.det_data import on_coco_proposals, on_coco_regions
from ..common.schedules import schedule_1x
from ..common.two_stage import experiment, fast_rcnn, faster_rcnn, region_sampler, rpn, smooth_l1


def _head(pre_nms: int, post_nms: int, loss_weight: float = 1.0) -> fdl.Config:
    regression = fdl.Config(BoxRegression, loss=linear_iou_loss, weight=10.0)
    return fdl.Config(
        CascadeRPNHead,
        first=fdl.Config(DilatedStage),
        second=fdl.Config(AdaptiveStage),
        anchors=fdl.Config(AnchorGenerator, strides=(4, 8, 16, 32, 64), ratios=(1.0,), scales=(8.0,)),
        assigner=fdl.Config(RegionAssigner),
        coders=(fdl.Config(DeltaCoder, stds=(0.1, 0.1, 0.5, 0.5)), fdl.Config(DeltaCoder, stds=(0.05, 0.05, 0.1, 0.1))),
        regression=regression,
        criterion=fdl.Config(
            RPNCriterion,
            assigner=fdl.Config(MaxIoUAssigner, positive=0.7, negative=0.7, min_positive=0.3),
            sampler=fdl.Config(RandomSampler, 256, 0.5),
            regression=regression,
        ),
        select=fdl.Config(ProposalSelector, pre_nms=pre_nms, post_nms=post_nms, nms_threshold=0.8),
        loss_weight=loss_weight,
    )


def _experiment(model: fdl.Config, classes: tuple[str, ...] | None = None) -> fdl.Config:
    config = with_caffe(experiment(model, schedule_1x(clip_norm=35.0), classes))
    config.published_keys = (
        *config.published_keys,
        (r"^rpn_head\.stages\.0\.", "rpn.first."),
        (r"^rpn_head\.stages\.1\.", "rpn.second."),
        (r"^(rpn\.\w+\.)rpn_conv\.conv\.", r"\1conv."),
        (r"^(rpn\.\w+\.)rpn_", r"\1"),
    )
    return config


def _strict(model: fdl.Config) -> fdl.Config:
    """A second stage for better regions."""
    head = model.roi_head
    head.coder.stds = (0.04, 0.04, 0.08, 0.08)
    head.criterion = fdl.Config(ClassWeightedCriterion, regression=fdl.Config(CodeRegression, loss=smooth_l1()))
    head.sampler = region_sampler(0.65)
    head.sampler.sampler.count = 256
    head.postprocessor.score_threshold = 1e-3
    return model


def crpn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    model = rpn()
    model.rpn = _head(2000, 2000)
    return on_coco_regions(_experiment(model, ("object",)))


def crpn_fast_rcnn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    """The regions of `crpn_r50_caffe_fpn_1x_coco` come with the images, 300 of each."""
    return on_coco_proposals(_experiment(_strict(fast_rcnn())))


def crpn_faster_rcnn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    model = _strict(faster_rcnn())
    model.rpn = _head(1000, 300, loss_weight=0.7)
    return _experiment(model)
