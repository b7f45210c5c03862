"""The MobileNetV2 (https://arxiv.org/abs/1801.04381) of SiamRPN++ (https://arxiv.org/abs/1812.11703, section 4).

It keeps stride 8 to the end by dilation, and is not padded where it strides: 127 -> 63 -> 31 -> 15 pixels, 255 -> 31.
The first block of a stage that dilates more than the one before has half of the stage's dilation.

Tensors are named as in the published checkpoints: `layer0.0`, `layer1.0.conv.0` ... `layer7.0.conv.7`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from .siamese import SiameseBackbone


@dataclass(frozen=True)
class StageShape:
    """Of a stage: how much its blocks widen, channels at width 1, number of blocks, stride of the first, dilation."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    dilation: int


STEM = 32  # channels at width 1
STAGES = (
    StageShape(1, 16, 1, 1, 1),
    StageShape(6, 24, 2, 2, 1),
    StageShape(6, 32, 3, 2, 1),
    StageShape(6, 64, 4, 1, 2),
    StageShape(6, 96, 3, 1, 2),
    StageShape(6, 160, 3, 1, 4),
    StageShape(6, 320, 1, 1, 4),
)


class InvertedResidual(nn.Module):
    """1x1 to more channels, 3x3 by channel, 1x1 back, added to the input where the shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, *, expansion: int, stride: int, dilation: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        padding = 0 if stride > 1 else dilation
        self.residual = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(inplace=True),
            nn.Conv2d(inner, inner, 3, stride, padding, dilation, groups=inner, bias=False),
            nn.BatchNorm2d(inner), nn.ReLU6(inplace=True),
            nn.Conv2d(inner, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class SiameseMobileNet(SiameseBackbone):
    """A stem, layer 0, and seven stages of inverted residual blocks.

    Args:
        width: factor of all channels, fractions cut off; 1.4 in the published network.
        out_indices: layers that are given out; 44, 134 and 448 channels at width 1.4.
        trained_stages: layers 0 to 7 that learn, see `SiameseBackbone`.
    """

    def __init__(
        self, width: float = 1.4, *, out_indices: Sequence[int] = (3, 5, 7), trained_stages: Sequence[int] | None = ()
    ) -> None:
        super().__init__(trained_stages)
        channels = int(STEM * width)
        self.layer0 = nn.Sequential(
            nn.Conv2d(3, channels, 3, 2, bias=False), nn.BatchNorm2d(channels), nn.ReLU6(inplace=True)
        )
        dilation, widths = 1, [channels]
        for number, shape in enumerate(STAGES, 1):
            out_channels = int(shape.channels * width)
            self.add_module(f"layer{number}", make_stage(channels, out_channels, shape, dilation))
            channels, dilation = out_channels, shape.dilation
            widths.append(channels)
        self.out_indices = tuple(out_indices)
        self.out_channels = [widths[index] for index in self.out_indices]
        self.initialise()

    def extract(self, x: Tensor) -> list[Tensor]:
        levels = []
        for number, stage in enumerate(self.stages()):
            x = stage(x)
            if number in self.out_indices:
                levels.append(x)
        return levels

    def stages(self) -> list[nn.Module]:
        return [getattr(self, f"layer{number}") for number in range(len(STAGES) + 1)]


def make_stage(in_channels: int, out_channels: int, shape: StageShape, dilation_before: int) -> nn.Sequential:
    """The blocks of one stage; the first changes stride, dilation and width."""
    first = shape.dilation if shape.dilation == dilation_before else max(shape.dilation // 2, 1)
    blocks = [
        InvertedResidual(
            out_channels if k else in_channels, out_channels, expansion=shape.expansion,
            stride=1 if k else shape.stride, dilation=shape.dilation if k else first,
        )
        for k in range(shape.blocks)
    ]  # fmt: skip
    return nn.Sequential(*blocks)
