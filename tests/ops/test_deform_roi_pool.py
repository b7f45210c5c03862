"""Deformable RoI pooling against RoIAlign of moved regions, and its two ways of sampling against each other."""

from __future__ import annotations

import pytest
import torch
import torchvision

from vidperc.image.roi_heads.deform_pool import DeformRoIExtractor, DeformRoIPool, ModulatedDeformRoIPool
from vidperc.ops.deform_roi_pool import deform_roi_pool

ROIS = torch.tensor([[0.0, 8, 4, 90, 61], [1, -20, 30, 44, 140], [0, 40, 40, 41, 42], [1, 100, 70, 200, 160]])


@pytest.fixture
def features():
    torch.manual_seed(0)
    return torch.randn(2, 6, 30, 41)


def test_without_offsets_it_is_roi_align(features):
    expected = torchvision.ops.roi_align(features, ROIS, 7, 1 / 4, 0, aligned=True)
    torch.testing.assert_close(deform_roi_pool(features, ROIS, None, 7, 1 / 4), expected, rtol=1e-4, atol=2e-5)


def test_equal_offsets_move_the_region(features):
    """A tenth of ten times 0.3 of the sides right, and of -0.2 down."""
    offsets = torch.tensor([3.0, -2.0])[None, :, None, None].expand(len(ROIS), 2, 7, 7)
    sides = ROIS[:, 3:] - ROIS[:, 1:3]
    moved = ROIS.clone()
    moved[:, 1:] += torch.cat([sides * torch.tensor([0.3, -0.2])] * 2, dim=1)
    expected = torchvision.ops.roi_align(features, moved, 7, 1 / 4, 0, aligned=True)
    found = deform_roi_pool(features, ROIS, offsets, 7, 1 / 4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-4)


def test_both_ways_of_sampling_agree_and_offsets_learn(features):
    offsets = torch.randn(len(ROIS), 2, 7, 7)
    expected = deform_roi_pool(features, ROIS, offsets, 7, 1 / 4)
    learning = offsets.clone().requires_grad_()
    found = deform_roi_pool(features, ROIS, learning, 7, 1 / 4)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=5e-5)
    found.square().sum().backward()
    assert float(learning.grad.abs().sum()) > 0
    step = torch.zeros_like(offsets)
    step[0, 0, 3, 3] = 1e-3
    high, low = (deform_roi_pool(features, ROIS, offsets + sign * step, 7, 1 / 4) for sign in (1, -1))
    slope = (high.double().square().sum() - low.double().square().sum()) / 2e-3
    assert float(learning.grad[0, 0, 3, 3]) == pytest.approx(float(slope), rel=0.02)


@pytest.mark.parametrize("pool", [DeformRoIPool, ModulatedDeformRoIPool])
def test_levels_and_order(pool, features):
    """At the start the bins rest; v2 weighs each by a half."""
    torch.manual_seed(0)
    extract = DeformRoIExtractor([pool(6, hidden=8), pool(6, hidden=8)], strides=(4, 8))
    maps = [features, features[:, :, ::2, ::2]]
    boxes = [torch.tensor([[8.0, 4, 150, 119], [10, 10, 40, 40]]), torch.tensor([[0.0, 0, 20, 30]])]
    found = extract(maps, boxes)
    rois = torch.tensor([[0, 10.0, 10, 40, 40], [1, 0, 0, 20, 30]])
    expected = torchvision.ops.roi_align(features, rois, 7, 1 / 4, 0, aligned=True)
    factor = 0.5 if pool is ModulatedDeformRoIPool else 1.0
    torch.testing.assert_close(found[1:], factor * expected, rtol=1e-4, atol=5e-5)
    coarse = torchvision.ops.roi_align(maps[1], torch.tensor([[0, 8.0, 4, 150, 119]]), 7, 1 / 8, 0, aligned=True)
    torch.testing.assert_close(found[:1], factor * coarse, rtol=1e-4, atol=5e-5)
    assert extract(maps, [torch.zeros(0, 4), torch.zeros(0, 4)]).shape == (0, 6, 7, 7)
