"""Detectors on RegNetX (https://arxiv.org/abs/2003.13678)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.classifiers import regnet_bgr
from vidperc.checkpoint.initial import InitialWeights
from vidperc.engine.optim import SGD
from vidperc.image.backbones.regnet import DESIGNS, RegNet, stages_of

from ..common.backbones import with_mdconv
from ..common.det_data import any_short_side, on_coco, six_short_sides
from ..common.models import bgr_preprocessor
from ..common.schedules import schedule_1x, schedule_2x, schedule_3x
from ..common.two_stage import experiment, faster_rcnn, mask_rcnn
from .retinanet import retinanet_r50_fpn_1x_coco

# The designs whose ImageNet weights torchvision has; of the others a path to them is given.
WEIGHTS = {
    "800MF": "regnet_x_800mf", "1.6GF": "regnet_x_1_6gf", "3.2GF": "regnet_x_3_2gf", "8.0GF": "regnet_x_8gf",
}  # fmt: skip


def _with_regnet(config: fdl.Config, design: str) -> fdl.Config:
    """A RegNetX, in BGR with the deviations of its authors, and half of the usual weight decay."""
    config.model.backbone = fdl.Config(RegNet, design)
    config.model.neck.in_channels = tuple(stage.width for stage in stages_of(DESIGNS[design]))
    config.model.preprocessor = bgr_preprocessor()
    config.schedule.optimizer = fdl.Config(SGD, lr=0.02, weight_decay=5e-5)
    config.initial = fdl.Config(InitialWeights)
    if design in WEIGHTS:
        config.initial = fdl.Config(InitialWeights, backbone=f"torchvision://{WEIGHTS[design]}", convert=regnet_bgr)
    return config


def _faster_rcnn(schedule: fdl.Config) -> fdl.Config:
    return _with_regnet(experiment(faster_rcnn(), schedule), "3.2GF")


def _mask_rcnn(design: str) -> fdl.Config:
    return _with_regnet(experiment(mask_rcnn()), design)


def _retinanet(design: str) -> fdl.Config:
    config = _with_regnet(retinanet_r50_fpn_1x_coco(), design)
    config.schedule.clip_norm = 35.0
    return config


def faster_rcnn_regnetx_3_2GF_fpn_1x_coco() -> fdl.Config:
    return _faster_rcnn(schedule_1x())


def faster_rcnn_regnetx_3_2GF_fpn_2x_coco() -> fdl.Config:
    return _faster_rcnn(schedule_2x())


def faster_rcnn_regnetx_3_2GF_fpn_mstrain_3x_coco() -> fdl.Config:
    return on_coco(_faster_rcnn(schedule_3x()), any_short_side())


def mask_rcnn_regnetx_3_2GF_fpn_1x_coco() -> fdl.Config:
    return _mask_rcnn("3.2GF")


def mask_rcnn_regnetx_4GF_fpn_1x_coco() -> fdl.Config:
    return _mask_rcnn("4.0GF")


def mask_rcnn_regnetx_6_4GF_fpn_1x_coco() -> fdl.Config:
    return _mask_rcnn("6.4GF")


def mask_rcnn_regnetx_8GF_fpn_1x_coco() -> fdl.Config:
    return _mask_rcnn("8.0GF")


def mask_rcnn_regnetx_12GF_fpn_1x_coco() -> fdl.Config:
    return _mask_rcnn("12GF")


def mask_rcnn_regnetx_3_2GF_fpn_mdconv_c3_c5_1x_coco() -> fdl.Config:
    return with_mdconv(_mask_rcnn("3.2GF"))


def mask_rcnn_regnetx_3_2GF_fpn_mstrain_3x_coco() -> fdl.Config:
    config = on_coco(_mask_rcnn("3.2GF"), six_short_sides())
    config.schedule.epochs, config.schedule.milestones, config.schedule.clip_norm = 36, (28, 34), 35.0
    return config


def retinanet_regnetx_800MF_fpn_1x_coco() -> fdl.Config:
    return _retinanet("800MF")


def retinanet_regnetx_1_6GF_fpn_1x_coco() -> fdl.Config:
    return _retinanet("1.6GF")


def retinanet_regnetx_3_2GF_fpn_1x_coco() -> fdl.Config:
    return _retinanet("3.2GF")
