"""Detectors on Swin Transformers (https://arxiv.org/abs/2103.14030) on BDD100K."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.classifiers import swin_unfolded
from vidperc.checkpoint.initial import InitialWeights
from vidperc.checkpoint.rename.swin import SWIN_MMDET
from vidperc.engine.optim import AdamW, Rule
from vidperc.image.backbones.swin import SIZES, SwinTransformer, UnfoldMerging
from vidperc.sequence import Precision

from ..common.det_data import on_bdd100k, on_bdd100k_by_length, strong_augmentation
from ..common.schedules import schedule_of_transformers
from .rcnn_bdd100k import cascade_rcnn_r50_fpn_1x_det_bdd100k, faster_rcnn_r50_fpn_1x_det_bdd100k


def _with_swin(config: fdl.Config, size: str, epochs: int = 36, precision: Precision = "fp32") -> fdl.Config:
    """A Swin Transformer; AdamW decays neither norms nor biases of positions."""
    config.model.backbone = fdl.Config(SwinTransformer, size, merging=UnfoldMerging)
    config.model.neck.in_channels = tuple(SIZES[size].channels * 2**stage for stage in range(4))
    rules = [fdl.Config(Rule, r"\.relative_position_bias_table$", weight_decay=0.0)]
    optimizer = fdl.Config(AdamW, lr=1e-4, weight_decay=0.05, norm_decay=0.0, rules=rules)
    config.schedule = schedule_of_transformers(epochs, optimizer=optimizer, precision=precision)
    config.published_keys = (*SWIN_MMDET, *config.published_keys)
    config.initial = fdl.Config(InitialWeights, backbone=f"torchvision://swin_{size[0]}", convert=swin_unfolded)
    return on_bdd100k_by_length(config)


def _strong(config: fdl.Config) -> fdl.Config:
    """Learns from crops too. The zoo does not say what its strong augmentation is: this is that of Swin's authors."""
    return on_bdd100k(config, [strong_augmentation()])


def faster_rcnn_swin_t_fpn_1x_det_bdd100k() -> fdl.Config:
    return _with_swin(faster_rcnn_r50_fpn_1x_det_bdd100k(), "tiny", epochs=12)


def faster_rcnn_swin_t_fpn_3x_det_bdd100k() -> fdl.Config:
    return _with_swin(faster_rcnn_r50_fpn_1x_det_bdd100k(), "tiny")


def faster_rcnn_swin_t_fpn_3x_strong_det_bdd100k() -> fdl.Config:
    return _strong(_with_swin(faster_rcnn_r50_fpn_1x_det_bdd100k(), "tiny"))


def faster_rcnn_swin_s_fpn_3x_det_bdd100k() -> fdl.Config:
    return _with_swin(faster_rcnn_r50_fpn_1x_det_bdd100k(), "small")


def faster_rcnn_swin_s_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_swin(faster_rcnn_r50_fpn_1x_det_bdd100k(), "small", precision="fp16")


def faster_rcnn_swin_s_fpn_fp16_3x_strong_det_bdd100k() -> fdl.Config:
    return _strong(_with_swin(faster_rcnn_r50_fpn_1x_det_bdd100k(), "small", precision="fp16"))


def faster_rcnn_swin_b_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_swin(faster_rcnn_r50_fpn_1x_det_bdd100k(), "base", precision="fp16")


def faster_rcnn_swin_b_fpn_fp16_3x_strong_det_bdd100k() -> fdl.Config:
    return _strong(_with_swin(faster_rcnn_r50_fpn_1x_det_bdd100k(), "base", precision="fp16"))


def cascade_rcnn_swin_t_fpn_3x_det_bdd100k() -> fdl.Config:
    return _with_swin(cascade_rcnn_r50_fpn_1x_det_bdd100k(), "tiny")


def cascade_rcnn_swin_s_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_swin(cascade_rcnn_r50_fpn_1x_det_bdd100k(), "small", precision="fp16")


def cascade_rcnn_swin_b_fpn_fp16_3x_det_bdd100k() -> fdl.Config:
    return _with_swin(cascade_rcnn_r50_fpn_1x_det_bdd100k(), "base", precision="fp16")
