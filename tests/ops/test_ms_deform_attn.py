"""Multi-scale deformable attention against its formula, written as loops."""

from __future__ import annotations

import math

import pytest
import torch

from vidperc.ops import ms_deform_attn as module
from vidperc.ops.ms_deform_attn import ms_deform_attn


def bilinear(image, x, y):
    """image (H, W, D) at pixel coordinates, by the four corners; zero outside."""
    height, width, _ = image.shape
    total = torch.zeros(image.shape[2], dtype=image.dtype)
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                total = total + (1 - abs(y - row)) * (1 - abs(x - column)) * image[row, column]
    return total


def by_loops(values, shapes, locations, weights):
    batch, _, heads, channels = values.shape
    queries, points = locations.shape[1], locations.shape[4]
    out = torch.zeros(batch, queries, heads, channels, dtype=values.dtype)
    for b in range(batch):
        start = 0
        for level, (h, w) in enumerate(shapes):
            maps = values[b, start : start + h * w].reshape(h, w, heads, channels)
            start += h * w
            for q in range(queries):
                for head in range(heads):
                    for p in range(points):
                        x, y = locations[b, q, head, level, p].tolist()
                        sampled = bilinear(maps[:, :, head], x * w - 0.5, y * h - 0.5)
                        out[b, q, head] += weights[b, q, head, level, p] * sampled
    return out.flatten(2)


@pytest.fixture
def scene():
    generator = torch.Generator().manual_seed(3)
    shapes = [(5, 7), (3, 4), (1, 2)]
    values = torch.randn(2, sum(h * w for h, w in shapes), 2, 4, generator=generator)
    locations = torch.rand(2, 6, 2, 3, 2, 2, generator=generator) * 1.6 - 0.3  # some outside
    weights = torch.rand(2, 6, 2, 3, 2, generator=generator)
    return values, shapes, locations, weights


def test_equals_the_formula(scene):
    values, shapes, locations, weights = scene
    expected = by_loops(values.double(), shapes, locations.double(), weights.double())
    torch.testing.assert_close(ms_deform_attn(*scene).double(), expected, atol=1e-5, rtol=1e-5)


def test_chunks_change_nothing(scene, monkeypatch):
    whole = ms_deform_attn(*scene)
    monkeypatch.setattr(module, "POINTS_AT_ONCE", 30)
    torch.testing.assert_close(ms_deform_attn(*scene), whole, atol=0, rtol=0)


def test_exactly_on_pixels_and_far_outside():
    values = torch.arange(6.0).reshape(1, 6, 1, 1)  # one map 2 x 3
    centre = torch.tensor([[0.5 / 3, 0.25], [2.5 / 3, 0.75], [5.0, 0.5], [-4.0, -4.0]])
    out = ms_deform_attn(values, [(2, 3)], centre.reshape(1, 4, 1, 1, 1, 2), torch.ones(1, 4, 1, 1, 1))
    torch.testing.assert_close(out.flatten(), torch.tensor([0.0, 5.0, 0.0, 0.0]), atol=1e-5, rtol=0)


def test_gradients_equal_those_of_the_formula(scene):
    values, shapes, locations, weights = scene
    leaves = [t.clone().requires_grad_() for t in (values, locations, weights)]
    ms_deform_attn(leaves[0], shapes, leaves[1], leaves[2]).square().sum().backward()
    # the formula's own derivative, by grid_sample's autograd
    others = [t.double().requires_grad_() for t in (values, locations, weights)]
    by_grid_sample(others[0], shapes, others[1], others[2]).square().sum().backward()
    for ours, theirs in zip(leaves, others):
        torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-4, rtol=1e-4)


def by_grid_sample(values, shapes, locations, weights):
    batch, _, heads, channels = values.shape
    total, start = 0, 0
    for level, (h, w) in enumerate(shapes):
        maps = values[:, start : start + h * w].permute(0, 2, 3, 1).reshape(batch * heads, channels, h, w)
        start += h * w
        grid = locations[:, :, :, level].transpose(1, 2).flatten(0, 1) * 2 - 1
        sampled = torch.nn.functional.grid_sample(maps, grid, align_corners=False)  # (B * heads, D, Q, points)
        weight = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]
        total = total + (sampled * weight).sum(-1).reshape(batch, heads, channels, -1).permute(0, 3, 1, 2)
    return total.flatten(2)


def test_no_queries(scene):
    values, shapes, locations, weights = scene
    assert ms_deform_attn(values, shapes, locations[:, :0], weights[:, :0]).shape == (2, 0, 8)


def test_sizes_that_disagree_are_refused(scene):
    values, shapes, locations, weights = scene
    with pytest.raises(ValueError, match="do not agree"):
        ms_deform_attn(values, shapes[:2], locations, weights)
