"""Path aggregation network (https://arxiv.org/abs/1803.01534, section 3.1): from fine maps back to coarse ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ...layers.conv import ConvNorm, init_xavier
from ...layers.norm import NormKind
from .fpn import FPN


class PAFPN(FPN):
    """A feature pyramid whose outputs are added up again from the finest one on.

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every map given out.
        levels: how many maps are given out.
        norm: normalisation after every convolution, None for none.
        options: as `FPN`'s.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        levels: int = 5,
        *,
        norm: NormKind | None = None,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, levels, norm=norm, **options)
        steps = len(self.lateral_convs) - 1
        self.downsample_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, stride=2, padding=1, norm=norm, relu=False) for _ in range(steps)
        )
        self.pafpn_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, padding=1, norm=norm, relu=False) for _ in range(steps)
        )
        init_xavier(self)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        laterals = self.laterals(features)
        sums = [conv(x) for conv, x in zip(self.fpn_convs, laterals)]
        for i, down in enumerate(self.downsample_convs):
            sums[i + 1] = sums[i + 1] + down(sums[i])
        outputs = [sums[0], *(conv(x) for conv, x in zip(self.pafpn_convs, sums[1:]))]
        return self.extend(outputs, features[-1], laterals[-1])
