"""Localisation distillation (LD, https://arxiv.org/abs/2102.12252): GFL taught by a larger one."""

from __future__ import annotations

from collections.abc import Callable

import fiddle as fdl

from vidperc.image.assigners import ATSSAssigner
from vidperc.image.heads.gfl import DistributionCoder
from vidperc.image.heads.ld import LDCriterion, Teacher
from vidperc.models import load

from ..common.models import resnet
from .gfl import gfl_experiment, gfl_mstrain_2x


def _ld(depth: int, teacher: str, base: Callable[..., fdl.Config] = gfl_experiment) -> fdl.Config:
    """The published weights of `teacher` are downloaded when training begins, unless told otherwise.

    `model.head.criterion.teacher.load.checkpoint` is a file in their place.
    """
    config = base(backbone=resnet(depth))
    if depth < 50:
        config.model.neck.in_channels = (64, 128, 256, 512)
    config.model.head.criterion = fdl.Config(
        LDCriterion,
        teacher=fdl.Config(Teacher, load=fdl.Partial(load, teacher, checkpoint="published")),
        assigner=fdl.Config(ATSSAssigner),
        coder=fdl.Config(DistributionCoder),
    )
    return config


def ld_r18_gflv1_r101_fpn_coco_1x() -> fdl.Config:
    return _ld(18, "gfl_r101_fpn_mstrain_2x_coco")


def ld_r34_gflv1_r101_fpn_coco_1x() -> fdl.Config:
    return _ld(34, "gfl_r101_fpn_mstrain_2x_coco")


def ld_r50_gflv1_r101_fpn_coco_1x() -> fdl.Config:
    return _ld(50, "gfl_r101_fpn_mstrain_2x_coco")


def ld_r101_gflv1_r101dcn_fpn_coco_1x() -> fdl.Config:
    """24 epochs, whatever its name says."""
    return _ld(101, "gfl_r101_fpn_dconv_c3-c5_mstrain_2x_coco", gfl_mstrain_2x)
