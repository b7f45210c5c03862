"""The R-CNN family from its parts, with the settings most published configs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiddle as fdl

from vidperc.checkpoint.keys import KeyRules
from vidperc.engine.experiment import Experiment
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.box_coders import DeltaCoder, LegacyDeltaCoder
from vidperc.image.heads.rpn import ProposalSelector, RPNCriterion, RPNHead, RPNPredictor
from vidperc.image.losses.regression import smooth_l1_loss
from vidperc.image.necks.channel_mapper import ChannelMapper
from vidperc.image.priors import AnchorGenerator, LegacyAnchorGenerator
from vidperc.image.regression import CodeRegression
from vidperc.image.roi_heads.box_head import BoxHead
from vidperc.image.roi_heads.cascade import CascadeRoIHead, CascadeStage
from vidperc.image.roi_heads.criterion import BoxCriterion
from vidperc.image.roi_heads.extractor import RoIExtractor
from vidperc.image.roi_heads.mask import MaskBranch, MaskHead
from vidperc.image.roi_heads.postprocess import BoxPostprocessor
from vidperc.image.roi_heads.roi_head import RoIHead
from vidperc.image.roi_heads.sampling import RegionSampler
from vidperc.image.samplers import RandomSampler
from vidperc.image.two_stage import RCNN, RPN

from .backbones import from_imagenet_if_resnet
from .classes import coco_classes
from .det_data import on_coco
from .models import common_keys, dc5, fpn, preprocessor, resnet
from .schedules import schedule_1x

BOX_STDS = (0.1, 0.1, 0.2, 0.2)


def two_stage_keys() -> KeyRules:
    """Published names of the tensors of the R-CNN family."""
    return (
        *common_keys(),
        (r"^rpn_head\.rpn_", "rpn.predictor."),
        (r"^roi_head\.bbox_head\.(\d+)\.", r"roi_head.box_heads.\1."),
        (r"^roi_head\.bbox_head\.", "roi_head.box_head."),
        (r"^roi_head\.mask_head\.(\d+)\.", r"roi_head.mask.heads.\1."),
        (r"^roi_head\.mask_head\.", "roi_head.mask.heads.0."),
        (r"^roi_head\.mask_iou_head\.", "roi_head.mask.iou_head."),
        (r"^roi_head\.point_head\.", "roi_head.mask.point_head."),
        (r"^roi_head\.shared_head\.", "roi_head.box_head.stage."),
        (r"^roi_head\.bbox_roi_extractor\.", "roi_head.extractor."),
        (r"^roi_head\.mask_roi_extractor\.", "roi_head.mask.extractor."),
        (r"^roi_head\.semantic_head\.", "semantic."),
        (r"^roi_head\.glbctx_head\.", "roi_head.context."),
        (r"^roi_head\.feat_relay_head\.", "roi_head.relay."),
    )


def rpn_head(
    in_channels: int = 256,
    *,
    strides: Sequence[float] = (4, 8, 16, 32, 64),
    scales: Sequence[float] = (8,),
    allowed_border: float | None = None,
) -> fdl.Config:
    """A region proposal network on five levels."""
    return fdl.Config(
        RPNHead,
        predictor=fdl.Config(RPNPredictor, in_channels, in_channels, anchors=3 * len(scales)),
        anchors=fdl.Config(AnchorGenerator, strides=tuple(strides), ratios=(0.5, 1.0, 2.0), scales=tuple(scales)),
        coder=fdl.Config(DeltaCoder),
        criterion=fdl.Config(
            RPNCriterion,
            assigner=fdl.Config(MaxIoUAssigner, 0.7, 0.3, min_positive=0.3),
            sampler=fdl.Config(RandomSampler, 256, 0.5),
            regression=fdl.Config(CodeRegression),
            allowed_border=allowed_border,
        ),
        select=fdl.Config(ProposalSelector, pre_nms=1000, post_nms=1000),
        select_training=fdl.Config(ProposalSelector, pre_nms=2000, post_nms=1000),
    )


def region_sampler(threshold: float = 0.5, *, match_low_quality: bool = False) -> fdl.Config:
    """512 regions per image, a quarter positive, by one threshold."""
    assigner = fdl.Config(
        MaxIoUAssigner, threshold, threshold, min_positive=threshold, match_low_quality=match_low_quality
    )
    return fdl.Config(RegionSampler, assigner=assigner, sampler=fdl.Config(RandomSampler, 512, 0.25))


def roi_head(classes: int = 80, **changes: Any) -> fdl.Config:
    """Two hidden layers on 7x7 features of four levels; `changes` are those of the box head."""
    return fdl.Config(
        RoIHead,
        extractor=fdl.Config(RoIExtractor, 7),
        box_head=fdl.Config(BoxHead, 256, classes=classes, **changes),
        coder=fdl.Config(DeltaCoder, stds=BOX_STDS),
        postprocessor=fdl.Config(BoxPostprocessor),
        sampler=region_sampler(),
        criterion=fdl.Config(BoxCriterion, regression=fdl.Config(CodeRegression)),
    )


def mask_branch(classes: int = 80, *, heads: int = 1, **changes: Any) -> fdl.Config:
    """Masks of 28x28 from 14x14 features; `changes` are those of the mask heads."""
    return fdl.Config(
        MaskBranch,
        extractor=fdl.Config(RoIExtractor, 14),
        heads=[fdl.Config(MaskHead, 256, classes=classes, **changes) for _ in range(heads)],
    )


def cascade_roi_head(classes: int = 80) -> fdl.Config:
    """Three stages, ever stricter."""
    stds = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
    stages = [
        fdl.Config(
            CascadeStage,
            coder=fdl.Config(DeltaCoder, stds=std),
            sampler=region_sampler(threshold),
            criterion=fdl.Config(BoxCriterion, regression=fdl.Config(CodeRegression, loss=smooth_l1())),
            loss_weight=weight,
        )
        for std, threshold, weight in zip(stds, (0.5, 0.6, 0.7), (1.0, 0.5, 0.25))
    ]
    return fdl.Config(
        CascadeRoIHead,
        extractor=fdl.Config(RoIExtractor, 7),
        box_heads=[fdl.Config(BoxHead, 256, classes=classes, class_agnostic=True) for _ in stages],
        stages=stages,
        postprocessor=fdl.Config(BoxPostprocessor),
    )


def smooth_l1(beta: float = 1.0) -> fdl.Partial:
    """Smooth L1 with its turning point."""
    return fdl.Partial(smooth_l1_loss, beta=beta)


def rpn() -> fdl.Config:
    """RPN alone, ResNet-50 with FPN."""
    head = rpn_head(allowed_border=0)
    head.select.pre_nms = 2000
    return fdl.Config(RPN, preprocessor=preprocessor(), backbone=resnet(), neck=fpn(), rpn=head)


def faster_rcnn(classes: int = 80) -> fdl.Config:
    """Faster R-CNN, ResNet-50 with FPN."""
    return fdl.Config(
        RCNN,
        preprocessor=preprocessor(),
        backbone=resnet(),
        neck=fpn(),
        rpn=rpn_head(),
        roi_head=roi_head(classes),
    )


def mask_rcnn(classes: int = 80) -> fdl.Config:
    """Mask R-CNN, ResNet-50 with FPN."""
    model = faster_rcnn(classes)
    model.roi_head.mask = mask_branch(classes)
    model.roi_head.sampler = region_sampler(match_low_quality=True)
    return model


def cascade_rcnn(classes: int = 80) -> fdl.Config:
    """Cascade R-CNN, ResNet-50 with FPN."""
    model = faster_rcnn(classes)
    model.roi_head = cascade_roi_head(classes)
    model.rpn.criterion.regression = fdl.Config(CodeRegression, loss=smooth_l1(1 / 9))
    model.rpn.criterion.allowed_border = 0
    model.rpn.select_training.post_nms = 2000
    return model


def cascade_mask_rcnn(classes: int = 80) -> fdl.Config:
    """Cascade Mask R-CNN, ResNet-50 with FPN."""
    model = cascade_rcnn(classes)
    model.roi_head.mask = mask_branch(classes, heads=3)
    return model


def experiment(
    model: fdl.Config, schedule: fdl.Config | None = None, classes: tuple[str, ...] | None = None
) -> fdl.Config:
    """A detector on COCO for twelve epochs, unless told otherwise; other classes come without data."""
    config = fdl.Config(
        Experiment,
        task="det",
        model=model,
        classes=coco_classes() if classes is None else classes,
        published_keys=two_stage_keys(),
        schedule=schedule or schedule_1x(),
    )
    from_imagenet_if_resnet(config)
    return on_coco(config) if classes is None else config


def faster_rcnn_dc5(classes: int = 30, depth: int = 50) -> fdl.Config:
    """The base of the video detectors: one map of stride 16 from a dilated last stage, 512 channels."""
    model = faster_rcnn(classes)
    model.preprocessor = preprocessor((1000, 600), pad_divisor=16)
    model.backbone = resnet(depth, **dc5())
    model.neck = fdl.Config(ChannelMapper, in_channels=(2048,), out_channels=512, kernel_size=3)
    model.rpn = rpn_head(512, strides=(16,), scales=(4, 8, 16, 32), allowed_border=0)
    model.rpn.criterion.regression.loss = smooth_l1(1 / 9)
    model.rpn.select = fdl.Config(ProposalSelector, pre_nms=6000, post_nms=300)
    model.rpn.select_training = fdl.Config(ProposalSelector, pre_nms=6000, post_nms=600)
    model.roi_head.extractor = fdl.Config(RoIExtractor, 7, strides=(16,), sampling_ratio=2)
    model.roi_head.box_head.in_channels = 512
    model.roi_head.coder.stds = (0.2, 0.2, 0.2, 0.2)
    model.roi_head.criterion.regression.loss = smooth_l1()
    model.roi_head.postprocessor.score_threshold = 0.0001
    return model


def fast_rcnn(classes: int = 80) -> fdl.Config:
    """Fast R-CNN, ResNet-50 with FPN; its regions come with the images."""
    model = faster_rcnn(classes)
    model.rpn = None
    return model


def to_v1(model: fdl.Config) -> fdl.Config:
    """Boxes and anchors as checkpoints from before 2020 count pixels."""
    model.rpn.anchors = fdl.Config(
        LegacyAnchorGenerator, strides=(4, 8, 16, 32, 64), ratios=(0.5, 1.0, 2.0), scales=(8,)
    )
    model.rpn.coder = fdl.Config(LegacyDeltaCoder)
    model.rpn.criterion.regression.loss = smooth_l1(1 / 9)
    model.rpn.select_training.post_nms = 2000
    for part in (model.roi_head, model.roi_head.mask):
        part.extractor.sampling_ratio, part.extractor.aligned = 2, False
    return model


def mask_rcnn_v1() -> fdl.Config:
    """Mask R-CNN of the age before 2020."""
    model = to_v1(mask_rcnn())
    model.roi_head.coder = fdl.Config(LegacyDeltaCoder, stds=BOX_STDS)
    model.roi_head.criterion.regression.loss = smooth_l1()
    return model


def cascade_mask_rcnn_v1() -> fdl.Config:
    """Cascade Mask R-CNN of the age before 2020."""
    model = to_v1(cascade_mask_rcnn())
    for stage in model.roi_head.stages:
        stage.coder = fdl.Config(LegacyDeltaCoder, stds=stage.coder.stds)
    return model
