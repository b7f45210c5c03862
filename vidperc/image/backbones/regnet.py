"""RegNetX (https://arxiv.org/abs/2003.13678): ResNeXt's blocks without a bottleneck, in widths that a line gives.

Tensors are named as in the published detection checkpoints, which is a ResNet's: `conv1`, `bn1`, `layer1.0.conv1` ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from ...layers.norm import NormKind, make_norm
from .resnet import MakeConv, plain_conv
from .staged import StagedBackbone, initialise

STEM_CHANNELS = 32


class Design(NamedTuple):
    """`depth` blocks, of which number j is about initial + slope * j wide (section 3.3)."""

    initial: int
    slope: float
    ratio: float  # of the widths of neighbouring stages
    group_width: int
    depth: int


DESIGNS = {  # by the multiplications of a picture of 224 x 224 (table 8)
    "400MF": Design(24, 24.48, 2.54, 16, 22),
    "800MF": Design(56, 35.73, 2.28, 16, 16),
    "1.6GF": Design(80, 34.01, 2.25, 24, 18),
    "3.2GF": Design(88, 26.31, 2.25, 48, 25),
    "4.0GF": Design(96, 38.65, 2.43, 40, 23),
    "6.4GF": Design(184, 60.83, 2.07, 56, 17),
    "8.0GF": Design(80, 49.56, 2.88, 120, 23),
    "12GF": Design(168, 73.36, 2.37, 112, 19),
}


class Stage(NamedTuple):
    """`blocks` blocks of `width` channels in groups of `group_width`."""

    width: int
    blocks: int
    group_width: int


def stages_of(design: Design) -> list[Stage]:
    """The design's widths as powers of the ratio times the initial one, in multiples of 8, then of whole groups."""
    powers = [
        round(math.log((design.initial + design.slope * block) / design.initial) / math.log(design.ratio))
        for block in range(design.depth)
    ]
    widths = [8 * round(design.initial * design.ratio**power / 8) for power in powers]
    stages = []
    for width, blocks in groupby(widths):
        group = min(design.group_width, width)
        stages.append(Stage(group * round(width / group), len(list(blocks)), group))
    return stages


class XBlock(nn.Module):
    """1x1, grouped 3x3 and 1x1 convolutions of one width, and a shortcut."""

    conv_norm_pairs: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(
        self, in_channels: int, width: int, *, groups: int, stride: int = 1, norm: NormKind = "bn", conv: MakeConv
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = make_norm(norm, width)
        self.conv2 = conv(width, width, 3, stride=stride, padding=1, groups=groups)
        self.bn2 = make_norm(norm, width)
        self.conv3 = nn.Conv2d(width, width, 1, bias=False)
        self.bn3 = make_norm(norm, width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, width, 1, stride, bias=False), make_norm(norm, width)
            )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x.add_(shortcut))


class RegNet(StagedBackbone):
    """Images (B, 3, H, W) to the outputs of the stages in `out_indices`, strides 4, 8, 16, 32 by default.

    Args:
        design: one of `DESIGNS` by its name, or another one.
        norm: kind of normalisation.
        conv_stages: stage index -> builder of its 3x3 convolutions, as `ResNet`'s.
        out_indices, frozen_stages, norm_eval: as `StagedBackbone`'s.
    """

    conv_norm_pairs: ClassVar = (("conv1", "bn1"),)

    def __init__(
        self,
        design: str | Design = "3.2GF",
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        norm: NormKind = "bn",
        frozen_stages: int = 1,
        norm_eval: bool = True,
        conv_stages: dict[int, MakeConv] | None = None,
    ) -> None:
        super().__init__(out_indices=out_indices, frozen_stages=frozen_stages, norm_eval=norm_eval)
        if isinstance(design, str):
            if design not in DESIGNS:
                raise ValueError(f"RegNetX '{design}': expected one of {', '.join(DESIGNS)}")
            design = DESIGNS[design]
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, 2, 1, bias=False)
        self.bn1 = make_norm(norm, STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        channels = STEM_CHANNELS
        for index, (width, blocks, group_width) in enumerate(stages_of(design)):
            conv = (conv_stages or {}).get(index, plain_conv)
            layers = [
                XBlock(
                    width if block else channels, width, groups=width // group_width, stride=1 if block else 2,
                    norm=norm, conv=conv,
                )
                for block in range(blocks)
            ]  # fmt: skip
            self.add_stage(nn.Sequential(*layers), width)
            channels = width
        initialise(self)
        self.train()

    def begin(self, x: Tensor) -> Tensor:
        return self.relu(self.bn1(self.conv1(x)))
