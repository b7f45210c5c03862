"""HRFPN: the feature pyramid of HRNetV2p (https://arxiv.org/abs/1908.07919, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm


class HRFPN(nn.Module):
    """All maps at the finest resolution as one, whose means make the levels.

    Args:
        in_channels: of the backbone's maps, finest first, each of half the resolution of the one before.
        out_channels: of every map given out.
        levels: how many maps are given out; the first has the finest resolution, divided by `stride`.
        stride: of the convolutions on the levels.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: int = 256, levels: int = 5, *, stride: int = 1
    ) -> None:
        super().__init__()
        self.reduction_conv = ConvNorm(sum(in_channels), out_channels, 1, relu=False)
        self.fpn_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, padding=1, stride=stride, relu=False) for _ in range(levels)
        )
        self.out_channels = [out_channels] * levels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        enlarged = [F.interpolate(x, scale_factor=2**i, mode="bilinear") for i, x in enumerate(features[1:], start=1)]
        x = self.reduction_conv(torch.cat([features[0], *enlarged], dim=1))
        return [conv(F.avg_pool2d(x, 2**i) if i else x) for i, conv in enumerate(self.fpn_convs)]
