"""RetinaNet (https://arxiv.org/abs/1708.02002)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fiddle as fdl

from vidperc.engine.optim import AdamW
from vidperc.engine.schedule import Schedule
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.box_coders import DeltaCoder, LegacyDeltaCoder
from vidperc.image.heads.dense import DenseHead
from vidperc.image.heads.dense_postprocess import DensePostprocessor
from vidperc.image.heads.free_anchor import FreeAnchorCriterion
from vidperc.image.heads.ghm import GHMCriterion
from vidperc.image.heads.retinanet import AnchorCriterion, LevelNormRetinaPredictor, RetinaPredictor
from vidperc.image.losses import smooth_l1_loss
from vidperc.image.priors import AnchorGenerator, LegacyAnchorGenerator, octave_scales

from ..common.backbones import RSB_WEIGHTS, from_detectron
from ..common.classes import bdd100k_classes, coco_classes, voc_classes
from ..common.dense import STRIDES, detectron_preprocessor, pyramid, sgd, single_stage
from ..common.det_data import on_bdd100k_by_length, on_crops_of_coco
from ..common.models import caffe_preprocessor, caffe_resnet, preprocessor, resnet, resnext
from ..common.other_data import on_voc
from ..common.schedules import schedule_1x, schedule_2x, schedule_3x, schedule_50e_crop640


def retinanet_head(classes: int = 80, *, coder: Callable[..., Any] = DeltaCoder, **criterion: Any) -> fdl.Config:
    """The head with nine anchors per location; `criterion` changes its loss."""
    assigner = fdl.Config(MaxIoUAssigner, positive=0.5, negative=0.4)
    return fdl.Config(
        DenseHead,
        predictor=fdl.Config(RetinaPredictor, classes=classes),
        priors=fdl.Config(AnchorGenerator, strides=STRIDES, ratios=(0.5, 1.0, 2.0), scales=octave_scales()),
        criterion=fdl.Config(AnchorCriterion, assigner=assigner, coder=fdl.Config(coder), **criterion),
        postprocessor=fdl.Config(DensePostprocessor, coder=fdl.Config(coder)),
    )


def _retinanet(*, classes: tuple[str, ...] | None = None, neck: fdl.Config | None = None, **parts: Any) -> fdl.Config:
    head = retinanet_head(len(classes or coco_classes()))
    return single_stage(head, neck=neck or pyramid(extra="on_input"), classes=classes, **parts)


def retinanet_r50_fpn_1x_coco() -> fdl.Config:
    return _retinanet()


def retinanet_r50_fpn_2x_coco() -> fdl.Config:
    return _retinanet(schedule=schedule_2x(optimizer=sgd()))


def retinanet_r50_fpn_fp16_1x_coco() -> fdl.Config:
    """Trained in half precision."""
    return _retinanet(schedule=schedule_1x(optimizer=sgd(), precision="fp16", clip_norm=35.0))


def retinanet_r50_caffe_fpn_1x_coco() -> fdl.Config:
    return _retinanet(backbone=caffe_resnet(), preprocess=caffe_preprocessor())


def retinanet_r101_caffe_fpn_1x_coco() -> fdl.Config:
    return _retinanet(backbone=caffe_resnet(101), preprocess=caffe_preprocessor())


def retinanet_r101_fpn_1x_coco() -> fdl.Config:
    return _retinanet(backbone=resnet(101))


def retinanet_r101_fpn_2x_coco() -> fdl.Config:
    return _retinanet(backbone=resnet(101), schedule=schedule_2x(optimizer=sgd()))


def retinanet_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return _retinanet(backbone=resnext())


def retinanet_x101_32x4d_fpn_2x_coco() -> fdl.Config:
    return _retinanet(backbone=resnext(), schedule=schedule_2x(optimizer=sgd()))


def retinanet_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return _retinanet(backbone=resnext(groups=64))


def retinanet_x101_64x4d_fpn_2x_coco() -> fdl.Config:
    return _retinanet(backbone=resnext(groups=64), schedule=schedule_2x(optimizer=sgd()))


def retinanet_r50_fpn_1x_voc0712() -> fdl.Config:
    """PASCAL VOC 2007 and 2012, four epochs over three times the data."""
    config = _retinanet(
        classes=voc_classes(),
        preprocess=preprocessor((1000, 600)),
        schedule=fdl.Config(Schedule, epochs=4, milestones=(3,), warmup_iterations=0, optimizer=sgd()),
    )
    return on_voc(config)


def crop640(neck: fdl.Config, **predictor: Any) -> fdl.Config:
    """Trained from crops of 640 pixels with large batches, batch norms that learn in backbone, neck and head.

    `predictor` changes the network behind the neck.
    """
    config = _retinanet(
        backbone=resnet(norm_eval=False),
        neck=neck,
        preprocess=preprocessor((640, 640), pad_divisor=128),
        schedule=schedule_50e_crop640(),
    )
    config.model.head.predictor = fdl.Config(LevelNormRetinaPredictor, classes=80, **predictor)
    config.model.head.criterion.assigner.negative = 0.5
    return on_crops_of_coco(config)


def retinanet_r50_fpn_crop640_50e_coco() -> fdl.Config:
    config = crop640(pyramid(extra="on_input", relu_before_extra=True, norm="bn", norm_on_lateral=False))
    config.model.preprocessor.pad_divisor = 64
    return config


def retinanet_r50_fpn_1x_coco_v1() -> fdl.Config:
    """A checkpoint from before 2020, when the last row and column counted as inside a box."""
    config = _retinanet(schedule=schedule_1x(optimizer=sgd(0.02)))
    head = retinanet_head(coder=LegacyDeltaCoder, code_loss=fdl.Partial(smooth_l1_loss, beta=0.11))
    head.priors = fdl.Config(LegacyAnchorGenerator, strides=STRIDES, ratios=(0.5, 1.0, 2.0), scales=octave_scales())
    config.model.head = head
    return config


def retinanet_r50_caffe_1x_coco_v1() -> fdl.Config:
    config = retinanet_r50_fpn_1x_coco_v1()
    config.model.backbone = caffe_resnet()
    config.model.preprocessor = detectron_preprocessor()
    return from_detectron(config)


def _bdd100k(schedule: fdl.Config, **parts: Any) -> fdl.Config:
    config = _retinanet(classes=bdd100k_classes(), preprocess=preprocessor((1280, 720)), schedule=schedule, **parts)
    return on_bdd100k_by_length(config)


def retinanet_r50_fpn_1x_det_bdd100k() -> fdl.Config:
    return _bdd100k(schedule_1x(optimizer=sgd()))


def retinanet_r50_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(schedule_3x(optimizer=sgd()))


def retinanet_r101_fpn_3x_det_bdd100k() -> fdl.Config:
    return _bdd100k(schedule_3x(optimizer=sgd()), backbone=resnet(101))


def _rsb(schedule: Callable[..., fdl.Config]) -> fdl.Config:
    optimizer = fdl.Config(AdamW, lr=1e-4, weight_decay=0.05, norm_decay=0.0)
    config = _bdd100k(schedule(optimizer=optimizer, batch_size=32))
    config.initial.backbone = RSB_WEIGHTS
    return config


def retinanet_r50_fpn_rsb_1x_det_bdd100k() -> fdl.Config:
    """On a ResNet-50 trained by the recipe of https://arxiv.org/abs/2110.00476."""
    return _rsb(schedule_1x)


def retinanet_r50_fpn_rsb_3x_det_bdd100k() -> fdl.Config:
    return _rsb(schedule_3x)


def _variant(criterion: fdl.Config, backbone: fdl.Config | None = None, keys: Any = ()) -> fdl.Config:
    """The same network trained with another loss."""
    head = retinanet_head()
    head.criterion = criterion
    schedule = schedule_1x(optimizer=sgd(), clip_norm=35.0)
    return single_stage(head, neck=pyramid(extra="on_input"), backbone=backbone, schedule=schedule, keys=keys)


def _ghm(backbone: fdl.Config | None = None) -> fdl.Config:
    """Gradient harmonising losses (https://arxiv.org/abs/1811.05181)."""
    assigner = fdl.Config(MaxIoUAssigner, positive=0.5, negative=0.4)
    keys = (
        (r"^head\.predictor\.loss_cls\.", "head.criterion.class_density."),
        (r"^head\.predictor\.loss_bbox\.", "head.criterion.box_density."),
    )
    return _variant(fdl.Config(GHMCriterion, assigner=assigner, coder=fdl.Config(DeltaCoder)), backbone, keys)


def retinanet_ghm_r50_fpn_1x_coco() -> fdl.Config:
    return _ghm()


def retinanet_ghm_r101_fpn_1x_coco() -> fdl.Config:
    return _ghm(resnet(101))


def retinanet_ghm_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return _ghm(resnext())


def retinanet_ghm_x101_64x4d_fpn_1x_coco() -> fdl.Config:
    return _ghm(resnext(groups=64))


def _free_anchor(backbone: fdl.Config | None = None) -> fdl.Config:
    """Bags of anchors (https://arxiv.org/abs/1909.02466)."""
    coder = fdl.Config(DeltaCoder, stds=(0.1, 0.1, 0.2, 0.2))
    config = _variant(fdl.Config(FreeAnchorCriterion, coder=coder), backbone)
    config.model.head.postprocessor.coder = coder
    return config


def retinanet_free_anchor_r50_fpn_1x_coco() -> fdl.Config:
    return _free_anchor()


def retinanet_free_anchor_r101_fpn_1x_coco() -> fdl.Config:
    return _free_anchor(resnet(101))


def retinanet_free_anchor_x101_32x4d_fpn_1x_coco() -> fdl.Config:
    return _free_anchor(resnext())
