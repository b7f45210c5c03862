"""Guided Anchoring (https://arxiv.org/abs/1901.03278) on RetinaNet, RPN and Faster R-CNN."""

from __future__ import annotations

import fiddle as fdl

from vidperc.image.assigners import ApproxMaxIoUAssigner, MaxIoUAssigner
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.guided_anchoring import GuideCriterion, GuidedRetinaPredictor, GuidedRPNPredictor, ShapeCoder
from vidperc.image.heads.guided_retina import GuidedPostprocessor, GuidedRetinaCriterion
from vidperc.image.heads.guided_rpn import GuidedRPNHead
from vidperc.image.heads.rpn import ProposalSelector, RPNCriterion
from vidperc.image.priors import AnchorGenerator, octave_scales
from vidperc.image.regression import CodeRegression
from vidperc.image.samplers import RandomSampler

from ..common.backbones import with_caffe, with_resnext
from ..common.dense import STRIDES, pyramid, sgd, single_stage
from ..common.det_data import on_coco_regions
from ..common.models import caffe_preprocessor, caffe_resnet, preprocessor, resnext
from ..common.schedules import schedule_1x
from ..common.two_stage import experiment, faster_rcnn, region_sampler, rpn, smooth_l1


def _squares(strides: tuple[int, ...], scale: float) -> fdl.Config:
    return fdl.Config(AnchorGenerator, strides=strides, ratios=(1.0,), scales=(scale,))


def _guide(strides: tuple[int, ...], scale: float, coder: fdl.Config, **thresholds: float) -> fdl.Config:
    """Shapes are assigned as nine anchors per location would be."""
    anchors = fdl.Config(AnchorGenerator, strides=strides, ratios=(0.5, 1.0, 2.0), scales=octave_scales(scale))
    assigner = fdl.Config(ApproxMaxIoUAssigner, anchors, **thresholds)
    sampler = fdl.Config(RandomSampler, 256, 0.5)
    return fdl.Config(GuideCriterion, assigner=assigner, sampler=sampler, coder=coder, scale=scale)


def _retinanet(backbone: fdl.Config, preprocess: fdl.Config) -> fdl.Config:
    shapes, coder = fdl.Config(ShapeCoder), fdl.Config(DeltaCoder)
    head = fdl.Config(
        DenseHead,
        predictor=fdl.Config(GuidedRetinaPredictor, classes=80),
        priors=_squares(STRIDES, 4.0),
        criterion=fdl.Config(
            GuidedRetinaCriterion,
            guide=_guide(STRIDES, 4.0, shapes, positive=0.5, negative=0.4, min_positive=0.4),
            assigner=fdl.Config(MaxIoUAssigner, positive=0.5, negative=0.5),
            coder=coder,
        ),
        postprocessor=fdl.Config(GuidedPostprocessor, coder=coder, shape_coder=shapes),
    )
    return single_stage(
        head,
        backbone=backbone,
        neck=pyramid(extra="on_input"),
        preprocess=preprocess,
        schedule=schedule_1x(optimizer=sgd(), clip_norm=35.0),
    )


def ga_retinanet_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return _retinanet(caffe_resnet(), caffe_preprocessor())


def ga_retinanet_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return _retinanet(caffe_resnet(101), caffe_preprocessor())


def ga_retinanet_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return _retinanet(resnext(), preprocessor())


def ga_retinanet_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return _retinanet(resnext(groups=64), preprocessor())


def _rpn_head(select: fdl.Config, select_training: fdl.Config) -> fdl.Config:
    strides = (4, 8, 16, 32, 64)
    shapes = fdl.Config(ShapeCoder, stds=(0.07, 0.07, 0.14, 0.14))
    thresholds = {"positive": 0.7, "negative": 0.3, "min_positive": 0.3}
    return fdl.Config(
        GuidedRPNHead,
        predictor=fdl.Config(GuidedRPNPredictor),
        squares=_squares(strides, 8.0),
        guide=_guide(strides, 8.0, shapes, **thresholds),
        coder=fdl.Config(DeltaCoder, stds=(0.07, 0.07, 0.11, 0.11)),
        criterion=fdl.Config(
            RPNCriterion,
            assigner=fdl.Config(MaxIoUAssigner, **thresholds),
            sampler=fdl.Config(RandomSampler, 256, 0.5),
            regression=fdl.Config(CodeRegression, loss=smooth_l1()),
        ),
        select=select,
        select_training=select_training,
    )


def _experiment(model: fdl.Config, classes: tuple[str, ...] | None = None) -> fdl.Config:
    config = with_caffe(experiment(model, schedule_1x(clip_norm=35.0), classes))
    config.published_keys = (*config.published_keys, (r"^rpn_head\.", "rpn.predictor."))
    return config


def _rpn() -> fdl.Config:
    model = rpn()
    model.rpn = _rpn_head(model.rpn.select, model.rpn.select_training)
    return on_coco_regions(_experiment(model, ("object",)))


def _faster() -> fdl.Config:
    """300 regions, and a second stage that is stricter about them."""
    model = faster_rcnn()
    select, training = (fdl.Config(ProposalSelector, pre_nms=count, post_nms=300) for count in (1000, 2000))
    model.rpn = _rpn_head(select, training)
    model.roi_head.coder.stds = (0.05, 0.05, 0.1, 0.1)
    model.roi_head.sampler = region_sampler(0.6)
    model.roi_head.sampler.sampler.count = 256
    model.roi_head.postprocessor.score_threshold = 1e-3
    return _experiment(model)


def _on_resnext(config: fdl.Config, groups: int) -> fdl.Config:
    config.model.preprocessor = preprocessor()
    config.model.backbone.style, config.model.backbone.norm = "pytorch", "bn"
    return with_resnext(config, 101, groups)


def ga_rpn_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return _rpn()


def ga_rpn_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(_rpn(), 101)


def ga_rpn_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return _on_resnext(_rpn(), 32)


def ga_rpn_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return _on_resnext(_rpn(), 64)


def ga_faster_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return _faster()


def ga_faster_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return with_caffe(_faster(), 101)


def ga_faster_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return _on_resnext(_faster(), 32)


def ga_faster_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return _on_resnext(_faster(), 64)
