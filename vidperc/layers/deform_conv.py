"""Deformable convolution with its own offset predictor (https://arxiv.org/abs/1703.06211, 1811.11168)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..ops.deform_conv import deform_conv
from .added import keep_own


class DeformConv(nn.Module):
    """A convolution whose sampling points move by predicted offsets (v1).

    Tensors: `weight` (out, in / groups, k, k) and the convolution `conv_offset`, as published.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.groups, self.deform_groups, self.kernel_size = groups, deform_groups, kernel_size
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, kernel_size, kernel_size))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.conv_offset = nn.Conv2d(
            in_channels,
            deform_groups * self.values_per_point * kernel_size**2,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
        )
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)  # type: ignore[arg-type]

    values_per_point = 2

    def forward(self, x: Tensor) -> Tensor:
        return self.sample(x, self.conv_offset(x), None)

    def complete(self, state: dict[str, Tensor], prefix: str) -> None:
        keep_own(self, state, prefix, "conv_offset")

    def sample(self, x: Tensor, offset: Tensor, mask: Tensor | None) -> Tensor:
        """Convolve at the given offsets (B, 2 * deform_groups * k * k, H, W), in y, x order."""
        geometry = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return deform_conv(x, offset, self.weight, self.bias, mask=mask, **geometry)


class ModulatedDeformConv(DeformConv):
    """As `DeformConv`, with a weight in [0, 1] for every sampling point (v2)."""

    values_per_point = 3

    def forward(self, x: Tensor) -> Tensor:
        offset_y, offset_x, mask = self.conv_offset(x).chunk(3, dim=1)
        return self.sample(x, torch.cat((offset_y, offset_x), dim=1), mask.sigmoid())


class OffsetConv(nn.Module):
    """A deformable convolution without bias at offsets that the caller brings.

    Tensors: `weight` (out, in, k, k).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, *, padding: int = 1) -> None:
        super().__init__()
        self.padding = padding
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """Convolve x (B, C, H, W) at offsets (B, 2 * groups * k * k, H, W), in y, x order."""
        return deform_conv(x, offset, self.weight, padding=self.padding)
