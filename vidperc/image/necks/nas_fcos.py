"""The pyramid that NAS-FCOS found (https://arxiv.org/abs/1906.04423, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_caffe2, init_kaiming
from ...layers.deform_conv import ModulatedDeformConv

# Of each cell its name, the two maps that it joins, and whether the second goes through a convolution, too.
# Maps 0 to 2 are the adapted C3 to C5, the others the cells' in this order.
CELLS = (
    ("c22_1", 2, 2, True),
    ("c22_2", 2, 2, True),
    ("c32", 3, 2, False),
    ("c02", 0, 2, False),
    ("c42", 4, 2, True),
    ("c36", 3, 6, True),
    ("c61", 6, 1, True),
)
CONTEXT = 5  # the map that is added to all outputs
OUTPUTS = (9, 8, 7)  # of P3 to P5


class NormConv(nn.Module):
    """Normalisation, ReLU and a 1x1 convolution, an output channel from each group of inputs."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, groups=out_channels, bias=False)
        init_kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(F.relu(self.norm(x), inplace=True))
        return result


class ConcatCell(nn.Module):
    """Two maps, each through a deformable convolution, side by side at the finer one's size, joined by channels."""

    def __init__(self, channels: int, *, second_conv: bool, deform_groups: int = 2) -> None:
        super().__init__()

        def deformable() -> ConvNorm:
            make = partial(ModulatedDeformConv, deform_groups=deform_groups)
            return ConvNorm(channels, channels, 3, padding=1, norm="bn", bias=True, make_conv=make)

        self.input1_conv = deformable()
        self.input2_conv: nn.Module = deformable() if second_conv else nn.Identity()
        self.out_conv = NormConv(2 * channels, channels)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        maps = self.input1_conv(first), self.input2_conv(second)
        size = max(first.shape[2:], second.shape[2:])
        both = [x if x.shape[2:] == size else F.interpolate(x, size=size) for x in maps]
        joined: Tensor = self.out_conv(torch.cat(both, dim=1))
        return joined


class NASFCOSFPN(nn.Module):
    """Maps C3 to C5 joined in pairs as found by search, then coarser levels by convolutions of stride 2.

    Args:
        in_channels: of the backbone's maps C2 to C5; C2 is not used.
        out_channels: of every map given out.
        levels: how many maps are given out.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int = 256, levels: int = 5) -> None:
        super().__init__()
        self.adapt_convs = nn.ModuleList(ConvNorm(width, out_channels, 1, norm="bn") for width in in_channels[1:])
        self.fpn = nn.ModuleDict({name: ConcatCell(out_channels, second_conv=conv) for name, _, _, conv in CELLS})
        self.extra_downsamples = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, stride=2, padding=1, relu=False)
            for _ in range(levels - len(OUTPUTS))
        )
        self.out_channels = [out_channels] * levels
        init_caffe2(self.adapt_convs)
        init_caffe2(self.extra_downsamples)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        if len(features) != len(self.adapt_convs) + 1:
            raise ValueError(f"the pyramid expects {len(self.adapt_convs) + 1} feature maps, got {len(features)}")
        maps = [adapt(x) for adapt, x in zip(self.adapt_convs, features[1:])]
        for name, first, second, _ in CELLS:
            maps.append(self.fpn[name](maps[first], maps[second]))
        outputs = []
        for index, like in zip(OUTPUTS, features[1:]):
            joined = maps[index] + resized(maps[CONTEXT], maps[index])
            outputs.append(resized(joined, like))
        for i, conv in enumerate(self.extra_downsamples):
            outputs.append(conv(F.relu(outputs[-1]) if i else outputs[-1]))
        return outputs


def resized(x: Tensor, like: Tensor) -> Tensor:
    """A map at the size of another one, bilinear."""
    return x if x.shape[2:] == like.shape[2:] else F.interpolate(x, size=like.shape[2:], mode="bilinear")
