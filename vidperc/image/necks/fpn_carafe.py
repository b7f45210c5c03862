"""Feature pyramid whose coarse maps are enlarged by their content (CARAFE, https://arxiv.org/abs/1905.02188)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...layers.carafe import CARAFE
from ...layers.conv import ConvNorm, init_xavier


class CARAFEPyramid(nn.Module):
    """Feature maps of falling resolution to as many of `out_channels`, coarse context added to fine maps.

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every map given out.
        levels: how many maps are given out; those beyond the backbone's take part in the way down, too.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int = 256, levels: int = 5) -> None:
        super().__init__()
        self.inputs, extra = len(in_channels), levels - len(in_channels)
        if extra < 0:
            raise ValueError(f"the pyramid gives out at least the {self.inputs} maps it takes, not {levels}")
        self.lateral_convs = nn.ModuleList(ConvNorm(channels, out_channels, 1, relu=False) for channels in in_channels)
        for i in range(extra):
            channels = out_channels if i else in_channels[-1]
            self.lateral_convs.append(ConvNorm(channels, out_channels, 3, stride=2, padding=1, relu=False))
        self.fpn_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, padding=1, relu=False) for _ in range(levels)
        )
        init_xavier(self)
        self.upsample_modules = nn.ModuleList(CARAFE(out_channels) for _ in range(levels - 1))
        self.out_channels = [out_channels] * levels

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        if len(features) != self.inputs:
            raise ValueError(f"the pyramid expects {self.inputs} feature maps, got {len(features)}")
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, features)]
        source = features[-1]
        for conv in self.lateral_convs[self.inputs :]:
            source = conv(source)
            laterals.append(source)
        for fine in range(len(laterals) - 2, -1, -1):
            height, width = laterals[fine].shape[2:]
            enlarged = self.upsample_modules[fine](laterals[fine + 1])
            laterals[fine] = laterals[fine] + enlarged[..., :height, :width]
        return [conv(x) for conv, x in zip(self.fpn_convs, laterals)]
