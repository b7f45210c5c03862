"""Deformable convolution (https://arxiv.org/abs/1703.06211, v2 https://arxiv.org/abs/1811.11168)."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import deform_conv2d


def deform_conv(
    x: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    mask: Tensor | None = None,
) -> Tensor:
    """Convolve with every sampling point moved, in single precision.

    Args:
        x: (B, I, H, W).
        offset: (B, 2 * groups * k * k, H', W'), in y, x order. What is not a number, at which the operator would read
            memory that is not its own, moves nothing.
        weight: (O, I, k, k); bias: (O,).
        mask: (B, groups * k * k, H', W'), the weight of every sampling point.

    Returns:
        (B, O, H', W') of the type of x.
    """
    return deform_conv2d(
        x.float(),
        offset.float().nan_to_num(nan=0.0, posinf=None, neginf=None),
        weight.float(),
        None if bias is None else bias.float(),
        stride=stride,
        padding=padding,
        dilation=dilation,
        mask=None if mask is None else mask.float(),
    ).to(x.dtype)
