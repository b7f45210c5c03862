"""Feature pyramid grids (https://arxiv.org/abs/2004.03580): pyramids beside each other, connected in all directions.

Every transition takes its map through a ReLU first, so maps are kept behind theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_caffe2


class FPG(nn.Module):
    """Feature maps of falling resolution to `levels` of them.

    A map of a pathway is the sum of up to four transitions: from the pathway's finer map, from the same and the coarser
    level of the pathway before, and from the same level of the first one. The first pathways are a triangle: the
    coarsest level alone is in all of them, each finer one begins a pathway later and stays as it is until then.

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every map given out.
        channels: of the maps inside.
        levels: how many maps are given out.
        pathways: how many follow the first one.
        start_level: the first of the backbone's maps that is used.
        conv_extra: levels beyond the backbone's by convolutions of stride 2; else by leaving out every second pixel.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        *,
        channels: int = 256,
        levels: int = 5,
        pathways: int = 9,
        start_level: int = 0,
        conv_extra: bool = False,
    ) -> None:
        super().__init__()
        self.inputs, self.start_level = len(in_channels), start_level
        used = list(in_channels[start_level:])
        self.lateral_convs = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in used)
        self.extra_downsamples = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, 2, 1) if conv_extra else nn.MaxPool2d(1, 2)
            for _ in range(levels - len(used))
        )
        self.fpn_transitions = nn.ModuleList(
            nn.ModuleList(
                transitions(channels, level, levels) if pathway + level >= levels - 1 else nn.ModuleDict()
                for level in range(levels)
            )
            for pathway in range(pathways)
        )
        self.output_transition = nn.ModuleList(
            ConvNorm(channels, out_channels, 3, padding=1, relu=False) for _ in range(levels)
        )
        self.out_channels = [out_channels] * levels
        init_caffe2(self)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        if len(features) != self.inputs:
            raise ValueError(f"FPG expects {self.inputs} feature maps, got {len(features)}")
        maps = [conv(x) for conv, x in zip(self.lateral_convs, features[self.start_level :])]
        for downsample in self.extra_downsamples:
            maps.append(downsample(maps[-1]))
        maps = first = [F.relu(x) for x in maps]
        for pathway in self.fpn_transitions:
            following: list[Tensor] = []
            for level, moves in enumerate(pathway):  # type: ignore[arg-type,var-annotated]
                following.append(F.relu(fuse(moves, level, following, maps, first)) if moves else maps[level])
            maps = following
        return [conv(x) for conv, x in zip(self.output_transition, maps)]


def transitions(channels: int, level: int, levels: int) -> nn.ModuleDict:
    """Those that lead to one map; the finest has none from a finer one, the coarsest none from a coarser one."""
    moves = nn.ModuleDict()
    if level:
        moves["same_up"] = ConvNorm(channels, channels, 3, stride=2, padding=1, norm="bn", relu=False)
    moves["across_lateral"] = ConvNorm(channels, channels, 1, norm="bn", relu=False)
    if level + 1 < levels:
        moves["across_down"] = ConvNorm(channels, channels, 3, padding=1, norm="bn", relu=False)
    moves["across_skip"] = ConvNorm(channels, channels, 1, norm="bn", relu=False)
    return moves


def fuse(
    moves: nn.ModuleDict, level: int, finer: Sequence[Tensor], before: Sequence[Tensor], first: Sequence[Tensor]
) -> Tensor:
    """A new map from those that are finer, those of the pathway before and those of the first one."""
    parts = [moves["across_lateral"](before[level])]
    if "same_up" in moves:
        parts.insert(0, moves["same_up"](finer[-1]))
    if "across_down" in moves:
        parts.append(moves["across_down"](F.interpolate(before[level + 1], size=before[level].shape[2:])))
    parts.append(moves["across_skip"](first[level]))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
