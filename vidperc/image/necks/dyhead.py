"""Dynamic head (https://arxiv.org/abs/2106.08322): attention over levels, places and channels, one after the other.

The published networks ask a coarser level at the finer one's offsets, read as if they were a map of the coarser size.
So their weights were trained, and so it is here (`DyHeadBlock.offsets_of_coarser`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm
from ...layers.norm import make_norm
from ...ops.deform_conv import deform_conv

POINTS = 9  # that a 3x3 convolution samples


class DyHead(nn.Module):
    """Blocks that take maps of all levels, finest first, and give as many in the same sizes.

    Args:
        channels: of all maps.
        blocks: how many.
    """

    def __init__(self, channels: int = 256, *, blocks: int = 6) -> None:
        super().__init__()
        self.dyhead_blocks = nn.Sequential(*(DyHeadBlock(channels) for _ in range(blocks)))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return self.dyhead_blocks(features)


class DyHeadBlock(nn.Module):
    """Each level and its neighbours, convolved where the level's offsets point and weighted by what they show.

    Those are the spatial and the scale attention; the task attention is an activation made for the picture.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spatial_conv_high = GuidedConv(channels)
        self.spatial_conv_mid = GuidedConv(channels)
        self.spatial_conv_low = GuidedConv(channels, stride=2)
        self.spatial_conv_offset = nn.Conv2d(channels, 3 * POINTS, 3, padding=1)
        self.scale_attn_module = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 1, 1), nn.ReLU(), nn.Hardsigmoid()
        )
        self.task_attn_module = DyReLU(channels)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.normal_(part.weight, std=0.01)
                nn.init.zeros_(part.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.spatial_conv_offset.weight)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [self.level(features, index) for index in range(len(features))]

    def level(self, features: Sequence[Tensor], index: int) -> Tensor:
        """The new map of one level."""
        x = features[index]
        offsets, masks = self.spatial_conv_offset(x).split((2 * POINTS, POINTS), dim=1)
        masks = masks.sigmoid()
        parts = [self.spatial_conv_mid(x, offsets, masks)]
        if index > 0:
            parts.append(self.spatial_conv_low(features[index - 1], offsets, masks))
        if index + 1 < len(features):
            coarser = features[index + 1]
            guides = (self.offsets_of_coarser(guide, coarser) for guide in (offsets, masks))
            high = self.spatial_conv_high(coarser, *guides)
            parts.append(F.interpolate(high, size=x.shape[2:], mode="bilinear", align_corners=True))
        mean = sum(part * self.scale_attn_module(part) for part in parts) / len(parts)
        return self.task_attn_module(mean)

    @staticmethod
    def offsets_of_coarser(guide: Tensor, coarser: Tensor) -> Tensor:
        """The first values of a map (B, D, H, W), row by row, as a map (B, D, h, w) of the coarser level's size."""
        shape = (guide.shape[1], *coarser.shape[2:])
        return guide.flatten(1)[:, : shape[0] * shape[1] * shape[2]].unflatten(1, shape)


class GuidedConv(nn.Module):
    """A modulated deformable 3x3 convolution at given offsets, and a group norm."""

    def __init__(self, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(channels, channels, 3, 3))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.norm = make_norm("gn", channels, groups=16)

    def forward(self, x: Tensor, offsets: Tensor, masks: Tensor) -> Tensor:
        """x (B, D, H, W) at offsets (B, 18, H', W') in y, x order, weighted by masks (B, 9, H', W'); (B, D, H', W')."""
        return self.norm(deform_conv(x, offsets, self.weight, stride=self.stride, padding=1, mask=masks))


class DyReLU(nn.Module):
    """The larger of two lines for every channel, which begin as those of a ReLU and follow the picture.

    Source: https://arxiv.org/abs/2003.10027.
    """

    def __init__(self, channels: int, ratio: int = 4) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels // ratio, 1)
        self.conv2 = ConvNorm(channels // ratio, 4 * channels, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        lines = F.hardsigmoid(self.conv2(self.conv1(x.mean((2, 3), keepdim=True)))) - 0.5
        slope, shift, other_slope, other_shift = lines.chunk(4, dim=1)
        return torch.maximum(x * (2 * slope + 1) + shift, x * (2 * other_slope) + other_shift)
