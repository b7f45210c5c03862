"""CSPDarknet as in YOLOX (https://arxiv.org/abs/2107.08430): cross-stage partial blocks, focus stem, spatial pyramid.

Tensors are named as the published checkpoints', with `norm` for their `bn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm

STAGES = ((64, 128, 3), (128, 256, 9), (256, 512, 9), (512, 1024, 3))  # channels in and out, blocks


class ConvSwish(ConvNorm):
    """Convolution, batch norm with YOLOX's constants, swish; the layer that all of YOLOX is made of."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, norm="bn", relu=False, padding=kernel_size // 2, **options
        )
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03)
        self.relu = nn.SiLU(inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, and a shortcut where there is one."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = ConvSwish(channels, channels, 1), ConvSwish(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.conv1(x))
        return out + x if self.shortcut else out


class CSPLayer(nn.Module):
    """Half of the channels through blocks, half beside them (https://arxiv.org/abs/1911.11929)."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, shortcut: bool = True) -> None:
        super().__init__()
        half = out_channels // 2
        self.main_conv, self.short_conv = ConvSwish(in_channels, half, 1), ConvSwish(in_channels, half, 1)
        self.final_conv = ConvSwish(2 * half, out_channels, 1)
        self.blocks = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.final_conv(torch.cat((self.blocks(self.main_conv(x)), self.short_conv(x)), dim=1))
        return out


class Focus(nn.Module):
    """Every 2 x 2 pixels become channels, then a 3x3 convolution: half the size without losing a pixel."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvSwish(12, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        upper, lower = x[..., ::2, :], x[..., 1::2, :]
        parts = (upper[..., ::2], lower[..., ::2], upper[..., 1::2], lower[..., 1::2])
        out: Tensor = self.conv(torch.cat(parts, dim=1))
        return out


class PooledPyramid(nn.Module):
    """A map beside its maxima over windows of several sizes (SPP)."""

    def __init__(self, channels: int, windows: Sequence[int] = (5, 9, 13)) -> None:
        super().__init__()
        self.windows = tuple(windows)
        self.conv1 = ConvSwish(channels, channels // 2, 1)
        self.conv2 = ConvSwish(channels // 2 * (len(self.windows) + 1), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        pooled = [F.max_pool2d(x, window, stride=1, padding=window // 2) for window in self.windows]
        out: Tensor = self.conv2(torch.cat((x, *pooled), dim=1))
        return out


class CSPDarknet(nn.Module):
    """Images (B, 3, H, W) to maps of strides 8, 16 and 32.

    Args:
        depth: factor of the number of blocks; 0.33 small, 0.67 medium, 1 large, 1.33 extra large.
        width: factor of the channels; 0.375 tiny, 0.5 small, 0.75 medium, 1 large, 1.25 extra large.
    """

    def __init__(self, *, depth: float = 1.0, width: float = 1.0) -> None:
        super().__init__()
        self.stem = Focus(int(STAGES[0][0] * width))
        for number, (narrow, wide, blocks) in enumerate(STAGES, start=1):
            before, after = int(narrow * width), int(wide * width)
            last = number == len(STAGES)
            parts: list[nn.Module] = [ConvSwish(before, after, 3, stride=2)]
            if last:
                parts.append(PooledPyramid(after))
            parts.append(CSPLayer(after, after, max(round(blocks * depth), 1), shortcut=not last))
            self.add_module(f"stage{number}", nn.Sequential(*parts))
        self.out_channels = [int(wide * width) for _, wide, _ in STAGES[1:]]

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = [self.stem(x)]
        for number in range(1, len(STAGES) + 1):
            maps.append(getattr(self, f"stage{number}")(maps[-1]))
        return maps[2:]
