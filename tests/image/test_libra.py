"""Libra R-CNN's parts, by hand."""

from __future__ import annotations

import pytest
import torch

from vidperc import Instances
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.losses import balanced_l1_loss
from vidperc.image.necks.balanced import BalancedPyramid, NonLocalBlock
from vidperc.image.roi_heads.libra import BalancedRegionSampler, BalancedSampler, BoundedSampler


def test_negatives_are_bounded_by_the_positives():
    assigned = torch.tensor([0, 0] + [-1] * 100)
    positives, negatives = BoundedSampler(256, 0.5)(assigned)
    assert (len(positives), len(negatives.unique())) == (2, 10)
    positives, negatives = BoundedSampler(256, 0.5)(assigned[2:])
    assert (len(positives), len(negatives.unique())) == (0, 5)
    assert bool((assigned[2:][negatives] == -1).all())


def test_positives_are_balanced_over_the_targets():
    assigned = torch.tensor([0] * 100 + [1] * 3 + [2] * 50 + [-2] * 9)
    sampler = BalancedSampler(80, 0.25)
    positives, negatives = sampler(assigned, torch.ones(len(assigned)))
    # 20 positives of 3 targets: 8 of each at most, so 8 + 3 + 8, and one more of any.
    counts = assigned[positives].bincount(minlength=3).tolist()
    assert len(positives.unique()) == 20
    assert counts[1] == 3
    assert sorted(counts) == [3, 8, 9]
    assert len(negatives) == 0
    assert sampler(assigned[90:103], torch.ones(13))[0].tolist() == list(range(13))


def test_negatives_are_balanced_over_their_overlap():
    overlaps = torch.tensor([0.0] * 50 + [0.1] * 60 + [0.45] * 8 + [0.9])  # of thirds up to 0.9
    assigned = torch.tensor([-1] * 118 + [0])
    _, negatives = BalancedSampler(31)(assigned, overlaps)
    # 30 negatives: 10 of each third, of which the third has none: 10 and 8, and 12 more of those that touch.
    assert len(negatives.unique()) == 30
    assert overlaps[negatives].unique(return_counts=True)[1].tolist() == [22, 8]
    _, negatives = BalancedSampler(101)(assigned, overlaps)  # more than touch
    assert len(negatives.unique()) == 100
    assert overlaps[negatives].unique(return_counts=True)[1].tolist() == [32, 60, 8]
    _, negatives = BalancedSampler(512)(assigned, overlaps)
    assert negatives.tolist() == list(range(118))
    nothing = BalancedSampler(8)(torch.full((9,), -1), torch.zeros(9))
    assert (len(nothing[0]), len(nothing[1].unique())) == (0, 8)


def test_regions_are_sampled_by_their_overlap():
    target = Instances(boxes=torch.tensor([[0.0, 0, 10, 10]]), labels=torch.tensor([3]))
    far = torch.tensor([[50.0, 50, 60, 60]]).repeat(6, 1)
    near = torch.tensor([[0.0, 0, 10, 3], [0, 0, 10, 4]])
    sampler = BalancedRegionSampler(MaxIoUAssigner(0.5, 0.5, match_low_quality=False), BalancedSampler(4, 0.5))
    sampled = sampler(Instances(boxes=torch.cat([far, near])), target, 9)
    assert sampled.labels.tolist() == [3, 9, 9, 9]
    assert sorted(sampled.boxes[1:, 3].tolist()) == [3, 4, 60]
    empty = sampler(Instances(boxes=far), Instances(boxes=torch.zeros(0, 4), labels=torch.zeros(0).long()), 9)
    assert empty.labels.tolist() == [9] * 4


def test_every_pixel_gathers_from_all_others():
    block = NonLocalBlock(1)
    for layer, weight in zip((block.theta, block.phi, block.g, block.conv_out), (1.0, 2.0, 10.0, 0.5)):
        torch.nn.init.constant_(layer.conv.weight, weight)
    x = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    at_one = 1 / (1 + torch.tensor(-2.0).exp())  # the softmax of 0 and 1 * 2
    expected = torch.stack([0 + 0.5 * 10 * torch.tensor(0.5), 1 + 0.5 * 10 * at_one])
    torch.testing.assert_close(block(x).flatten(), expected)


def test_levels_meet_in_the_middle():
    neck = BalancedPyramid(1, refine_level=1)  # its last convolution begins with zeros, so the mean stays
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    middle, coarse = torch.full((1, 1, 2, 2), 3.0), torch.full((1, 1, 1, 1), 6.0)
    mean = torch.tensor([[5.0, 7], [13, 15]]) / 3 + 3  # maxima of the fine map, 3 and 6
    out = neck([fine, middle, coarse])
    torch.testing.assert_close(out[0][0, 0], fine[0, 0] + mean.repeat_interleave(2, 0).repeat_interleave(2, 1))
    torch.testing.assert_close(out[1][0, 0], 3 + mean)
    torch.testing.assert_close(out[2].item(), 6 + 8.0)


@pytest.mark.parametrize(("error", "expected"), [(0.0, 0.0), (2.0, 3.0 + 1.5 / (2.718281828**3 - 1) - 0.5)])
def test_the_balanced_loss(error, expected):
    assert balanced_l1_loss(torch.tensor([error]), torch.zeros(1)).item() == pytest.approx(expected, abs=1e-6)
