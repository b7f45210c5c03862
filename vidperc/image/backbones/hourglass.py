"""Stacked hourglass networks as CornerNet has them (https://arxiv.org/abs/1603.06937, 1808.01244 section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm
from .resnet import BasicBlock, make_stage


def residuals(in_channels: int, out_channels: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Residual blocks, of which the first changes stride and width."""
    return make_stage(BasicBlock, in_channels, out_channels, blocks, stride, 1, norm="bn")


def residuals_back(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
    """Residual blocks, of which the last changes the width."""
    same = [BasicBlock(in_channels, in_channels) for _ in range(blocks - 1)]
    return nn.Sequential(*same, *residuals(in_channels, out_channels, 1))


class Hourglass(nn.Module):
    """A map beside what is seen of it at half the resolution, where there is another hourglass.

    Args:
        channels: from this resolution to the lowest one.
        blocks: residual blocks at each.
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.up1 = residuals(channels[0], channels[0], blocks[0])
        self.low1 = residuals(channels[0], channels[1], blocks[0], stride=2)
        deeper = len(channels) > 2
        self.low2: nn.Module = (
            Hourglass(channels[1:], blocks[1:]) if deeper else residuals(channels[1], channels[1], blocks[1])
        )
        self.low3 = residuals_back(channels[1], channels[0], blocks[0])

    def forward(self, x: Tensor) -> Tensor:
        fine: Tensor = self.up1(x)
        coarse = self.low3(self.low2(self.low1(x)))
        return fine + F.interpolate(coarse, size=fine.shape[2:])


class HourglassNet(nn.Module):
    """Images (B, 3, H, W) to a map of stride 4 after every hourglass, the first one's first.

    Args:
        channels: from the highest resolution, stride 4, to the lowest one.
        blocks: residual blocks at each.
        stacks: hourglasses after each other; each takes what came before it, too.
        out_channels: of the maps.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] = (256, 256, 384, 384, 384, 512),
        blocks: Sequence[int] = (2, 2, 2, 2, 2, 4),
        stacks: int = 2,
        out_channels: int = 256,
    ) -> None:
        super().__init__()
        width, joints = channels[0], range(stacks - 1)
        self.stem = nn.Sequential(
            ConvNorm(3, width // 2, 7, stride=2, padding=3, norm="bn"), residuals(width // 2, width, 1, stride=2)
        )
        self.hourglass_modules = nn.ModuleList(Hourglass(channels, blocks) for _ in range(stacks))
        self.out_convs = nn.ModuleList(ConvNorm(width, out_channels, 3, padding=1, norm="bn") for _ in range(stacks))
        self.conv1x1s = nn.ModuleList(ConvNorm(width, width, 1, norm="bn", relu=False) for _ in joints)
        self.remap_convs = nn.ModuleList(ConvNorm(out_channels, width, 1, norm="bn", relu=False) for _ in joints)
        self.inters = nn.ModuleList(BasicBlock(width, width) for _ in joints)
        self.out_channels = [out_channels] * stacks

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        outputs = [self.out_convs[0](self.hourglass_modules[0](x))]
        for i, block in enumerate(self.inters):
            x = block(F.relu(self.conv1x1s[i](x) + self.remap_convs[i](outputs[-1])))
            outputs.append(self.out_convs[i + 1](self.hourglass_modules[i + 1](x)))
        return outputs
