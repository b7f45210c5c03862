"""Deformable convolution at offsets of all kinds."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidperc.ops.deform_conv import deform_conv


@pytest.mark.parametrize("value", [0.0, torch.nan])
def test_offsets_that_move_nothing(value):
    x, weight = torch.randn(1, 4, 64, 64), torch.randn(3, 4, 3, 3)
    out = deform_conv(x, torch.full((1, 18, 32, 32), value), weight, stride=2, padding=1)
    torch.testing.assert_close(out, F.conv2d(x, weight, stride=2, padding=1), rtol=1e-4, atol=1e-4)


def test_offsets_out_of_the_map_sample_zeros():
    x, weight, bias = torch.randn(1, 4, 8, 8), torch.randn(3, 4, 3, 3), torch.tensor([1.0, 2, 3])
    for value in (100.0, -torch.inf, torch.inf):
        out = deform_conv(x, torch.full((1, 18, 8, 8), value), weight, bias, padding=1)
        assert out.mean((2, 3)).tolist() == [[1, 2, 3]]


def test_the_type_is_that_of_the_map():
    x, weight = torch.randn(1, 4, 8, 8), torch.randn(3, 4, 3, 3)
    out = deform_conv(x.bfloat16(), torch.zeros(1, 18, 8, 8).bfloat16(), weight, padding=1, mask=torch.ones(1, 9, 8, 8))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), F.conv2d(x, weight, padding=1), rtol=0.05, atol=0.1)
