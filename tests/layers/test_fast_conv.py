"""Winograd's convolution against the direct one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vidperc.layers.fast_conv import FastConv, is_fast, kernel_transform, library, runs_in, speed_up

needs_compiled = pytest.mark.skipif(library() is None, reason="not compiled, or no AVX-512 here")
KINDS = {
    "3x3": (nn.Conv2d(64, 80, 3, 1, 1), (13, 17)),
    "1x1 map": (nn.Conv2d(64, 64, 3, 1, 1, bias=False), (1, 1)),
    "dilated": (nn.Conv2d(64, 80, 3, 1, 2, 2), (13, 18)),
    "strided 3x3, odd": (nn.Conv2d(64, 80, 3, 2, 1), (13, 17)),
    "strided 3x3, even": (nn.Conv2d(64, 80, 3, 2, 1), (14, 18)),
    "strided 5x5": (nn.Conv2d(64, 66, 5, 2, 2), (13, 18)),
    "transposed": (nn.ConvTranspose2d(66, 64, 4, 2, 1), (7, 9)),
}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


@needs_compiled
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_direct_convolution(kind):
    conv, size = KINDS[kind]
    torch.manual_seed(0)
    x = torch.randn(3, conv.in_channels, *size)
    exact = copy.deepcopy(conv).double()(x.double()).detach()
    with torch.inference_mode():
        y = FastConv(conv)(x)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert relative(y, exact) < 3e-6
        activated = FastConv(conv)(x.to(memory_format=torch.channels_last), 0.1)
        torch.testing.assert_close(activated, nn.functional.leaky_relu(y, 0.1))


@pytest.mark.skipif(not runs_in(torch.bfloat16), reason="not compiled, or no bfloat16 here")
@pytest.mark.parametrize("kind", KINDS)
def test_in_bfloat16(kind):
    """Transformed values are rounded to 8 bits: by a percent."""
    conv, size = KINDS[kind]
    torch.manual_seed(0)
    x = torch.randn(3, conv.in_channels, *size)
    exact = copy.deepcopy(conv).double()(x.double()).detach()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        y = FastConv(conv, torch.bfloat16)(x)
    assert y.dtype == torch.bfloat16
    assert relative(y.double(), exact) < 0.02


@needs_compiled
def test_a_part_of_a_wider_map_goes_in_and_comes_out():
    conv = nn.Conv2d(64, 64, 3, 1, 1)
    torch.manual_seed(0)
    wide = torch.randn(2, 100, 9, 10).to(memory_format=torch.channels_last)
    out = torch.zeros(2, 70, 9, 10).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        FastConv(conv)(wide[:, 20:84], out=out[:, 3:67])
        torch.testing.assert_close(out[:, 3:67], conv(wide[:, 20:84]), atol=1e-4, rtol=1e-4)
        assert not out[:, :3].any() and not out[:, 67:].any()


@needs_compiled
def test_gradients_and_other_precisions_take_the_direct_way():
    conv = nn.Conv2d(64, 64, 3, 1, 1)
    fast, x = FastConv(conv), torch.randn(1, 64, 5, 6)
    torch.testing.assert_close(fast(x), conv(x), rtol=0, atol=0)
    fast(x).sum().backward()
    assert conv.weight.grad is not None
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fast(x), conv(x), rtol=0, atol=0)


def test_a_kernel_of_three_taps_by_hand():
    """The transform evaluates the kernel's polynomial at a point, over the product of its distances to the others."""
    rows = kernel_transform(3)
    at_zero = torch.tensor([1.0, 0, 0]).double() / (0.75**2 * 1.5**2)
    torch.testing.assert_close(rows[0], at_zero)
    torch.testing.assert_close(rows[3], torch.tensor([0.0, 0, 1]).double())


@needs_compiled
def test_speed_up_keeps_names_and_leaves_the_rest():
    model = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1), nn.Conv2d(64, 64, 3, 1, 1), nn.Conv2d(64, 64, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    speed_up(model)
    assert [isinstance(part, FastConv) for part in model] == [False, True, False]
    assert before.keys() == model.state_dict().keys()
    assert not is_fast(nn.Conv2d(64, 64, 3, 1, 1, groups=2)) and not is_fast(nn.Conv2d(64, 64, 3, 1, 0))
