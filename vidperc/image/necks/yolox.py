"""YOLOX's path aggregation: down the pyramid and up again, by cross-stage partial layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..backbones.csp_darknet import ConvSwish, CSPLayer


class YOLOXPAFPN(nn.Module):
    """Maps of all levels, finest first, to as many of one width (PANet, https://arxiv.org/abs/1803.01534).

    Tensors are numbered as published: downwards from the coarsest level, upwards from the finest.

    Args:
        in_channels: of the maps, finest first; each twice as wide as the one before.
        out_channels: of the maps given out.
        blocks: of each cross-stage partial layer.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, blocks: int = 3) -> None:
        super().__init__()
        pairs = list(zip(in_channels[:-1], in_channels[1:]))  # finer, coarser
        down = pairs[::-1]
        self.reduce_layers = nn.ModuleList(ConvSwish(coarse, fine, 1) for fine, coarse in down)
        self.top_down_blocks = nn.ModuleList(CSPLayer(2 * fine, fine, blocks, shortcut=False) for fine, _ in down)
        self.downsamples = nn.ModuleList(ConvSwish(fine, fine, 3, stride=2) for fine, _ in pairs)
        self.bottom_up_blocks = nn.ModuleList(
            CSPLayer(2 * fine, coarse, blocks, shortcut=False) for fine, coarse in pairs
        )
        self.out_convs = nn.ModuleList(ConvSwish(channels, out_channels, 1) for channels in in_channels)
        self.out_channels = [out_channels] * len(in_channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        coarsest, *finer = reversed(features)
        reduced, x = [], coarsest
        for reduce, block, fine in zip(self.reduce_layers, self.top_down_blocks, finer):
            reduced.append(reduce(x))
            x = block(torch.cat((F.interpolate(reduced[-1], scale_factor=2), fine), dim=1))
        maps = [x]
        for shrink, block, context in zip(self.downsamples, self.bottom_up_blocks, reversed(reduced)):
            maps.append(block(torch.cat((shrink(maps[-1]), context), dim=1)))
        return [conv(level) for conv, level in zip(self.out_convs, maps)]
