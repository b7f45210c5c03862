"""Warping on a CPU, by tables of rows, against torch's sampling."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vidperc.ops.warp import warp


@pytest.mark.parametrize("size", [(7, 11), (1, 6), (5, 1)])
def test_the_cpus_way_is_that_of_grid_sample(size):
    """Flows lead far over every border, some by whole cells; maps of one row or column stay where they are."""
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(3, 4, *size, generator=generator)
    flow = torch.randn(3, 2, *size, generator=generator) * 6
    flow[1] = flow[1].round()
    flow[2] = 0
    y, x = torch.meshgrid(*(torch.arange(n) for n in size), indexing="ij")
    grid = torch.stack((x + flow[:, 0], y + flow[:, 1]), dim=-1)  # cell p of W is read at p (W - 1) / W
    grid = grid * 2 / torch.tensor([size[1], size[0]]) - 1
    expected = F.grid_sample(features, grid, "bilinear", "border", align_corners=True)
    torch.testing.assert_close(warp(features, flow), expected, atol=1e-5, rtol=1e-5)
    assert (flow.abs() > max(size)).any()
    with torch.enable_grad():
        learning = features.clone().requires_grad_()
        torch.testing.assert_close(warp(learning, flow).detach(), expected, atol=1e-5, rtol=1e-5)
