"""SSD's extra levels (https://arxiv.org/abs/1512.02325, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...layers.conv import ConvNorm


class SSDNeck(nn.Module):
    """The backbone's two maps, the first normalised, and ever smaller ones made from the last.

    Args:
        in_channels: of the backbone's maps.
        out_channels: of the maps that are added.
        strides, paddings, kernels: of the 3x3 convolution of each added map.
        scale: length that the first map's features begin with.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (512, 1024),
        out_channels: Sequence[int] = (512, 256, 256, 256),
        *,
        strides: Sequence[int] = (2, 2, 1, 1),
        paddings: Sequence[int] = (1, 1, 0, 0),
        kernels: Sequence[int] = (3, 3, 3, 3),
        scale: float = 20.0,
    ) -> None:
        super().__init__()
        self.out_channels = [*in_channels, *out_channels]
        self.l2_norm = L2Norm(in_channels[0], scale)
        self.extra_layers = nn.ModuleList(
            nn.Sequential(
                ConvNorm(before, width // 2, 1),
                ConvNorm(width // 2, width, kernel, stride=stride, padding=padding),
            )
            for before, width, kernel, stride, padding in zip(
                self.out_channels[1:], out_channels, kernels, strides, paddings
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        maps = [self.l2_norm(features[0]), *features[1:]]
        for layer in self.extra_layers:
            maps.append(layer(maps[-1]))
        return maps


class L2Norm(nn.Module):
    """Features of length 1 at every place, times a learned weight per channel (ParseNet)."""

    def __init__(self, channels: int, scale: float = 20.0, eps: float = 1e-10) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        length = x.float().square().sum(1, keepdim=True).sqrt() + self.eps
        return (self.weight[:, None, None] * x / length).to(x.dtype)
