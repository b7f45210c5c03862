"""Dynamic R-CNN's two numbers, by hand."""

from __future__ import annotations

import math

import fiddle as fdl
import pytest
import torch
from vidperc.configs.det.dynamic_rcnn import dynamic_rcnn_r50_fpn_1x_coco

from vidperc import Instances
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.roi_heads.dynamic import ranked_error, ranked_iou
from vidperc.image.roi_heads.sampling import RegionSampler, SampledRegions
from vidperc.image.samplers import AllSampler


def sampler(add_targets: bool = True) -> RegionSampler:
    return RegionSampler(MaxIoUAssigner(0.5, 0.5), AllSampler(), add_targets)


def test_the_ranked_iou_counts_the_targets_too():
    target = Instances(boxes=torch.tensor([[0.0, 0, 10, 10]]))
    proposals = Instances(boxes=torch.tensor([[0.0, 0, 10, 4], [0, 0, 10, 8], [50, 50, 60, 60]]))
    found = [ranked_iou(proposals, target, rank, sampler()).item() for rank in (1, 2, 3, 9)]
    assert found == pytest.approx([1, 0.8, 0.4, 0])
    assert ranked_iou(proposals, target, 1, sampler(add_targets=False)).item() == pytest.approx(0.8)
    nothing = Instances(boxes=torch.zeros(0, 4))
    assert ranked_iou(proposals, nothing, 1, sampler()).item() == 0
    assert ranked_iou(nothing, nothing, 1, sampler()).item() == 0


def regions(boxes: list, truth: list) -> SampledRegions:
    boxes, truth = torch.tensor(boxes).view(-1, 4), torch.tensor(truth).view(-1, 4)
    count = len(truth)
    return SampledRegions(
        boxes, torch.zeros(len(boxes)).long(), torch.zeros(count).long(), truth, torch.zeros(len(boxes))
    )


def test_the_ranked_error_is_of_centres():
    # Centres off by 2 and 0, 4 and 2, 0 and 8 pixels on boxes of 20 pixels: mean codes 0.05, 0.15, 0.2.
    one = regions([[0.0, 0, 20, 20], [0.0, 0, 20, 20], [7.0, 7, 9, 9]], [[2.0, 0, 22, 20], [4.0, 2, 24, 22]])
    two = regions([[0.0, 0, 20, 20]], [[0.0, 8, 20, 28]])
    assert ranked_error([one, two], DeltaCoder(), 1).item() == pytest.approx(0.15)  # the second of two images
    assert ranked_error([one, two], DeltaCoder(), 10).item() == pytest.approx(0.2)
    assert ranked_error([one], DeltaCoder(), 1).item() == pytest.approx(0.05)
    assert math.isnan(ranked_error([regions([[0.0, 0, 20, 20]], [])], DeltaCoder(), 1).item())


def test_the_numbers_follow_every_interval():
    config = dynamic_rcnn_r50_fpn_1x_coco().model.roi_head
    config.box_head.hidden = config.box_head.in_channels = 1
    config.interval, config.iou_rank, config.beta_rank = 2, 2, 1
    head = fdl.build(config)
    target = Instances(boxes=torch.tensor([[0.0, 0, 20, 20]]))

    def step(iou: float, error: float) -> None:
        proposals = Instances(boxes=torch.tensor([[0.0, 0, 20, 20 * iou]]))
        head.note([proposals], [target], [regions([[0.0, 0, 20, 20]], [[0, 4 * error, 20, 20 + 4 * error]])])

    step(0.5, 0.5)
    assert (head.iou_threshold.item(), head.beta.item()) == (0.5, 1.0)
    step(0.7, 0.7)  # codes of centres are divided by 0.1: 0.5 and 0.7 are the mean of 0 and twice that
    assert head.iou_threshold.item() == pytest.approx(0.6)
    assert head.beta.item() == pytest.approx(0.6)
    for _ in range(2):
        step(0.2, 2.0)
    assert head.iou_threshold.item() == pytest.approx(0.4)
    assert head.beta.item() == pytest.approx(1.0)
    for _ in range(2):  # nothing positive, or nothing left to learn: the turning point stays
        head.note([target], [target], [regions([[0.0, 0, 20, 20]], [])])
    assert head.iou_threshold.item() == 1.0
    assert head.beta.item() == pytest.approx(1.0)
    assert not any("beta" in name or "iou" in name for name in head.state_dict())
