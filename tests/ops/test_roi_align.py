"""RoIAlign by bags of rows against torchvision's operator."""

from __future__ import annotations

import pytest
import torch
import torchvision

from vidperc.ops.roi_align import roi_align


def regions(count: int, batch: int, extent: float) -> torch.Tensor:
    """Regions of all sizes and shapes, some beyond the map's border, some without area."""
    corner = torch.rand(count, 2) * extent * 1.3 - 0.2 * extent
    size = torch.rand(count, 2) ** 3 * extent
    size[::7] = 0
    image = torch.randint(batch, (count, 1))
    return torch.cat([image, corner, corner + size], dim=1)


@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("size", [7, 14])
def test_it_equals_torchvisions(sampling_ratio, aligned, size):
    features = torch.randn(2, 8, 30, 41).to(memory_format=torch.channels_last)
    rois = regions(120, 2, 160)
    expected = torchvision.ops.roi_align(features, rois, size, 1 / 4, sampling_ratio, aligned=aligned)
    found = roi_align(features, rois, size, 1 / 4, sampling_ratio, aligned)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


def test_inverted_regions_give_what_torchvision_gives():
    features = torch.randn(1, 4, 20, 20)
    rois = torch.tensor([[0.0, 30, 30, 20, 40], [0, 30, 30, 20, 20]])
    expected = torchvision.ops.roi_align(features, rois, 7, 0.5, 0, aligned=True)
    torch.testing.assert_close(roi_align(features, rois, 7, 0.5), expected)


def test_no_regions():
    assert roi_align(torch.zeros(1, 3, 8, 8), torch.zeros(0, 5), 7, 0.25).shape == (0, 3, 7, 7)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_gradients_equal_torchvisions(sampling_ratio):
    features = torch.randn(2, 8, 30, 41).to(memory_format=torch.channels_last)
    rois, weights = regions(120, 2, 160), torch.randn(120, 8, 7, 7)
    gradients = []
    for align in (torchvision.ops.roi_align, roi_align):
        own = features.clone().requires_grad_()
        (align(own, rois, 7, 1 / 4, sampling_ratio, True) * weights).sum().backward()
        gradients.append(own.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=5e-5)


def test_gradients_in_low_precision():
    features = torch.randn(1, 4, 20, 20, requires_grad=True)
    aligned = roi_align(features.bfloat16(), torch.tensor([[0.0, 2, 3, 30, 31]]), 7, 0.5)
    assert aligned.dtype == torch.bfloat16
    aligned.sum().backward()
    assert float(features.grad.sum()) == pytest.approx(4 * 49, rel=1e-2)


def test_low_precision():
    features = torch.randn(1, 8, 30, 30).to(memory_format=torch.channels_last)
    rois = regions(20, 1, 110)
    expected = torchvision.ops.roi_align(features, rois, 7, 1 / 4, 0, aligned=True)
    found = roi_align(features.bfloat16(), rois, 7, 1 / 4).float()
    assert float((found - expected).abs().max()) < 0.05
