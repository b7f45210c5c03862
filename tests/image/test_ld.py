"""Localisation distillation: the loss by hand, and a teacher that stays as it is."""

from __future__ import annotations

import math
from types import SimpleNamespace

import fiddle as fdl
import pytest
import torch

from vidperc import Instances
from vidperc.image.heads.dense import DenseOutputs
from vidperc.image.heads.gfl import DistributionCoder, GFLCriterion
from vidperc.image.heads.ld import LDCriterion, Teacher
from vidperc.models import get_config
from vidperc.structures import ImageList

IMAGE = ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)], [(64, 64)], [(1.0, 1.0)])
TARGETS = [Instances(boxes=torch.tensor([[16.0, 16, 48, 48]]), labels=torch.tensor([0]))]
PRIORS = torch.tensor([[0.0, 0, 64, 64], [0, 0, 64, 64]])  # stride 8, centred at (32, 32): all sides at 2 strides


def first_learns(priors, targets, predictions=None):
    return torch.tensor([0 if len(targets) else -1, -1])


def criterion(taught: torch.Tensor) -> LDCriterion:
    return LDCriterion(
        teacher=SimpleNamespace(codes=lambda images: taught), assigner=first_learns, coder=DistributionCoder()
    )


def test_the_loss_of_the_teacher_by_hand():
    taught = torch.zeros(1, 2, 16)
    taught[0, 0, 0] = 10 * math.log(3)  # at a temperature of 10 a half, the others a sixth each
    outputs = DenseOutputs(PRIORS, [2], torch.tensor([[[math.log(4)], [0.0]]]), torch.zeros(1, 2, 16))
    losses = criterion(taught)(outputs, IMAGE, TARGETS)
    side = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log((1 / 6) / 0.25)
    # the mean over four values and over four sides, the score 0.8 of the anchor, and no normaliser
    assert losses["loss_teacher"].item() == pytest.approx(0.25 * 100 * side / 4 / 4 * 0.8, rel=1e-5)


def test_the_other_losses_are_those_of_gfl_but_for_a_small_total():
    outputs = DenseOutputs(PRIORS, [2], torch.tensor([[[math.log(4)], [0.0]]]), torch.randn(1, 2, 16))
    losses = criterion(torch.zeros(1, 2, 16))(outputs, IMAGE, TARGETS)
    plain = GFLCriterion(assigner=first_learns, coder=DistributionCoder())(outputs, IMAGE, TARGETS)
    torch.testing.assert_close(losses["loss_class"], plain["loss_class"])
    for name in ("loss_box", "loss_distribution"):  # GFL divides by one at least, here the score of 0.8 is in all
        torch.testing.assert_close(losses[name] * 0.8, plain[name])


def test_nothing_is_taught_without_targets():
    outputs = DenseOutputs(PRIORS, [2], torch.zeros(1, 2, 1), torch.randn(1, 2, 16, requires_grad=True))
    losses = criterion(torch.zeros(1, 2, 16))(outputs, IMAGE, [Instances.empty()])
    assert losses["loss_teacher"].item() == losses["loss_box"].item() == 0
    sum(losses.values()).backward()


def test_a_teacher_of_another_head_is_refused():
    outputs = DenseOutputs(PRIORS, [2], torch.zeros(1, 2, 1), torch.zeros(1, 2, 16))
    with pytest.raises(ValueError, match="teacher"):
        criterion(torch.zeros(1, 3, 16))(outputs, IMAGE, TARGETS)


def test_the_teacher_is_loaded_once_when_it_is_asked_and_does_not_learn():
    calls = []

    def load() -> torch.nn.Module:
        calls.append(1)
        config = get_config("gfl_r50_fpn_1x_coco").model
        config.backbone.depth, config.backbone.base_channels = 18, 8
        config.neck.in_channels, config.neck.out_channels = (8, 16, 32, 64), 32
        config.head.predictor.in_channels = config.head.predictor.channels = 32
        return fdl.build(config).train()

    teacher = Teacher(load)
    assert calls == []
    images = ImageList(torch.randn(1, 3, 64, 160), [(64, 160)], [(64, 160)], [(1.0, 1.0)])
    codes = teacher.codes(images)
    torch.testing.assert_close(teacher.codes(images), codes)
    assert calls == [1]
    assert codes.shape == (1, 160 + 40 + 10 + 3 + 2, 68)
    assert not codes.requires_grad
    assert not teacher.detector.training
    assert not any(parameter.requires_grad for parameter in teacher.detector.parameters())


def test_the_published_teachers_are_those_of_the_names():
    for name, teacher in {
        "ld_r50_gflv1_r101_fpn_coco_1x": "gfl_r101_fpn_mstrain_2x_coco",
        "ld_r101_gflv1_r101dcn_fpn_coco_1x": "gfl_r101_fpn_dconv_c3-c5_mstrain_2x_coco",
    }.items():
        load = get_config(name).model.head.criterion.teacher.load
        assert (load.name, load.checkpoint) == (teacher, "published")
        get_config(load.name)
