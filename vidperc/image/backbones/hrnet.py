"""HRNet (https://arxiv.org/abs/1908.07919): resolutions side by side that exchange what they have found.

Tensors are named as in the authors' and the published detection checkpoints: `conv1`, `layer1.0.conv1`,
`transition1.0.0`, `stage2.0.branches.0.0.conv1`, `stage2.0.fuse_layers.0.1.0` ...
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor, nn

from .resnet import BasicBlock, Bottleneck, make_stage
from .staged import initialise

BLOCKS = 4  # of each resolution in a module, and of the first stage
STEM_CHANNELS = 64


def conv_norm(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    ]


def halving(in_channels: int, out_channels: int) -> nn.Sequential:
    """Half of the resolution, with a ReLU."""
    return nn.Sequential(*conv_norm(in_channels, out_channels, 3, 2), nn.ReLU(inplace=True))


def exchange(widths: Sequence[int], source: int, target: int) -> nn.Module:
    """What brings a resolution to another one: nearest pixels of a 1x1 convolution, or 3x3 convolutions that stride."""
    if source == target:
        return nn.Identity()
    if source > target:
        layers = conv_norm(widths[source], widths[target], 1)
        return nn.Sequential(*layers, nn.Upsample(scale_factor=2 ** (source - target)))
    steps = [halving(widths[source], widths[source]) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, nn.Sequential(*conv_norm(widths[source], widths[target], 3, 2)))


class HRModule(nn.Module):
    """Blocks of each resolution by itself, then every resolution plus all others (figure 2 of the paper)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(BLOCKS))) for width in widths
        )
        numbers = range(len(widths))
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(exchange(widths, source, target) for source in numbers) for target in numbers
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        maps = [branch(x) for branch, x in zip(self.branches, maps)]
        return [self.relu(self.total(layers, maps)) for layers in self.fuse_layers]  # type: ignore[arg-type]

    def total(self, layers: nn.ModuleList, maps: Sequence[Tensor]) -> Tensor:
        """The sum of all maps, each brought to one resolution by its layer."""
        return reduce(torch.add, [layer(x) for layer, x in zip(layers, maps)])


class Transition(nn.ModuleDict):
    """From the resolutions of a stage to those of the next one, which has another, half of the last one.

    Widths that stay have no layer; the layers' names are the numbers of the resolutions.
    """

    def __init__(self, before: Sequence[int], after: Sequence[int]) -> None:
        layers: dict[str, nn.Module] = {
            str(number): nn.Sequential(*conv_norm(old, new, 3), nn.ReLU(inplace=True))
            for number, (old, new) in enumerate(zip(before, after))
            if old != new
        }
        layers[str(len(before))] = nn.Sequential(halving(before[-1], after[-1]))
        super().__init__(layers)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        maps = [*maps, maps[-1]]
        return [self[str(number)](x) if str(number) in self else x for number, x in enumerate(maps)]


class HRNet(nn.Module):
    """Images (B, 3, H, W) to maps of strides 4, 8, 16 and 32, of `width` channels and its doubles (HRNetV2p).

    All of it learns, statistics too.

    Args:
        width: 18, 32, 40 or 48 in the published networks.
        modules: how many there are in the stages of two, three and four resolutions.
    """

    conv_norm_pairs: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, width: int = 18, *, modules: Sequence[int] = (1, 4, 3)) -> None:
        super().__init__()
        self.out_channels = [width * 2**number for number in range(4)]
        self.conv1, self.bn1 = conv_norm(3, STEM_CHANNELS, 3, 2)
        self.conv2, self.bn2 = conv_norm(STEM_CHANNELS, STEM_CHANNELS, 3, 2)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = make_stage(Bottleneck, STEM_CHANNELS, STEM_CHANNELS, BLOCKS, 1, 1, norm="bn")
        before = [STEM_CHANNELS * Bottleneck.expansion]
        self.stages = len(modules)
        for number, count in enumerate(modules, start=1):
            widths = self.out_channels[: number + 1]
            self.add_module(f"transition{number}", Transition(before, widths))
            self.add_module(f"stage{number + 1}", nn.Sequential(*(HRModule(widths) for _ in range(count))))
            before = widths
        initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        maps = [self.layer1(x)]
        for number in range(1, self.stages + 1):
            maps = getattr(self, f"stage{number + 1}")(getattr(self, f"transition{number}")(maps))
        return maps
