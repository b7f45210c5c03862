"""ConvNeXt (https://arxiv.org/abs/2201.03545): large depthwise convolutions and two layers on each pixel.

Tensors are named as in the published detection checkpoints: `downsample_layers.0.0`, `stages.0.0.depthwise_conv` ...
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.drop_path import DropPath


class Size(NamedTuple):
    """Channels of the first stage, which double from stage to stage, and blocks of all four."""

    channels: int
    blocks: tuple[int, int, int, int]


SIZES = {
    "tiny": Size(96, (3, 3, 9, 3)),
    "small": Size(96, (3, 3, 27, 3)),
    "base": Size(128, (3, 3, 27, 3)),
    "large": Size(192, (3, 3, 27, 3)),
}
EPSILON = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Normalises the channels of each pixel of maps (B, D, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """A 7x7 convolution of each channel, then two layers on each pixel, weighted by channel and added."""

    def __init__(self, channels: int, drop_path: float, layer_scale: float) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)
        self.pointwise_conv1 = nn.Linear(channels, 4 * channels)
        self.pointwise_conv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.norm(self.depthwise_conv(x).permute(0, 2, 3, 1))  # (B, H, W, D)
        pixels = self.pointwise_conv2(F.gelu(self.pointwise_conv1(pixels))) * self.gamma
        return x + self.drop_path(pixels).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """Images (B, 3, H, W) to the normalised outputs of the four stages, strides 4, 8, 16, 32.

    Args:
        size: "tiny", "small", "base" or "large", or another one.
        drop_path: rate of the last block's stochastic depth; it rises linearly from 0.
        layer_scale: with which the weights of the blocks' channels begin.
    """

    def __init__(self, size: str | Size = "tiny", *, drop_path: float = 0.4, layer_scale: float = 1.0) -> None:
        super().__init__()
        if isinstance(size, str):
            if size not in SIZES:
                raise ValueError(f"ConvNeXt '{size}': expected one of {', '.join(SIZES)}")
            size = SIZES[size]
        widths = [size.channels * 2**stage for stage in range(len(size.blocks))]
        self.out_channels = widths
        rates = iter(torch.linspace(0, drop_path, sum(size.blocks), device="cpu").tolist())
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0]))
        self.downsample_layers = nn.ModuleList([stem])
        for before, after in zip(widths, widths[1:]):
            self.downsample_layers.append(nn.Sequential(ChannelNorm(before), nn.Conv2d(before, after, 2, 2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width, next(rates), layer_scale) for _ in range(blocks)))
            for width, blocks in zip(widths, size.blocks)
        )
        for stage, width in enumerate(widths):
            self.add_module(f"norm{stage}", ChannelNorm(width))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for stage, (shrink, blocks) in enumerate(zip(self.downsample_layers, self.stages)):
            x = blocks(shrink(x))
            features.append(getattr(self, f"norm{stage}")(x))
        return features
