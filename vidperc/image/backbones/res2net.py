"""Res2Net (https://arxiv.org/abs/1904.01169): the 3x3 convolution of a ResNet's block in parts, each on the one before.

Tensors are named as in the published checkpoints, but for the parts: `layer1.0.parts.0.conv` and `.norm` are their
`layer1.0.convs.0` and `layer1.0.bns.0`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...layers.conv import ConvNorm
from ...layers.norm import NormKind, make_norm
from .resnet import BLOCKS
from .staged import StagedBackbone, deep_stem, initialise, pooled_shortcut

EXPANSION = 4


class Res2NetBlock(nn.Module):
    """1x1, 3x3 in parts, 1x1 convolutions and a shortcut.

    Of the parts of the channels each but the first is added to the result of the one before, and the last
    is left as it is (figure 2b of the paper).

    Args:
        inner: channels of a part.
        scales: how many parts.
        stride: of the 3x3 convolutions.
    """

    conv_norm_pairs: ClassVar = (("conv1", "bn1"), ("conv3", "bn3"))

    def __init__(
        self, in_channels: int, out_channels: int, *, inner: int, scales: int, stride: int = 1, norm: NormKind
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, inner * scales, 1, bias=False)
        self.bn1 = make_norm(norm, inner * scales)
        self.parts = nn.ModuleList(
            ConvNorm(inner, inner, 3, norm=norm, stride=stride, padding=1) for _ in range(scales - 1)
        )
        self.conv3 = nn.Conv2d(inner * scales, out_channels, 1, bias=False)
        self.bn3 = make_norm(norm, out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.inner = inner

    def shortcut(self, x: Tensor) -> Tensor:
        return x

    def combine(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """The results of all parts."""
        out = [self.parts[0](parts[0])]
        for convolve, part in zip(list(self.parts)[1:], parts[1:]):
            out.append(convolve(out[-1] + part))
        return [*out, parts[-1]]

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = torch.cat(self.combine(x.split(self.inner, dim=1)), dim=1)
        x = self.bn3(self.conv3(x))
        return self.relu(x.add_(shortcut))


class FirstRes2NetBlock(Res2NetBlock):
    """The first block of a stage: its parts are convolved each by itself, with a stride, the last one is averaged."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, norm: NormKind, **options: int) -> None:
        super().__init__(in_channels, out_channels, stride=stride, norm=norm, **options)
        self.pool = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        self.downsample = pooled_shortcut(in_channels, out_channels, stride, norm)

    def shortcut(self, x: Tensor) -> Tensor:
        return self.downsample(x)

    def combine(self, parts: Sequence[Tensor]) -> list[Tensor]:
        return [*(convolve(part) for convolve, part in zip(self.parts, parts)), self.pool(parts[-1])]


class Res2Net(StagedBackbone):
    """Images (B, 3, H, W) to the outputs of the stages in `out_indices`, strides 4, 8, 16, 32 by default (v1d).

    Args:
        depth: 50, 101 or 152.
        base_width, scales: channels of a part in the first stage, and parts; 26 and 4 are "26w 4s".
        norm: kind of normalisation.
        base_channels: width of the stem, 64 in all published networks.
        out_indices, frozen_stages, norm_eval: as `StagedBackbone`'s.
    """

    stem_names = ("stem",)

    def __init__(
        self,
        depth: int = 101,
        *,
        base_width: int = 26,
        scales: int = 4,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        norm: NormKind = "bn",
        frozen_stages: int = 1,
        norm_eval: bool = True,
        base_channels: int = 64,
    ) -> None:
        super().__init__(out_indices=out_indices, frozen_stages=frozen_stages, norm_eval=norm_eval)
        if depth not in BLOCKS or depth < 50:
            raise ValueError(f"Res2Net depth {depth}: expected 50, 101 or 152")
        self.stem = deep_stem(base_channels, norm)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = base_channels
        for stage, blocks in enumerate(BLOCKS[depth]):
            out_channels = EXPANSION * base_channels * 2**stage
            first = FirstRes2NetBlock(
                channels, out_channels, inner=base_width * 2**stage, scales=scales, stride=2 if stage else 1, norm=norm
            )
            rest = (
                Res2NetBlock(out_channels, out_channels, inner=base_width * 2**stage, scales=scales, norm=norm)
                for _ in range(blocks - 1)
            )
            self.add_stage(nn.Sequential(first, *rest), out_channels)
            channels = out_channels
        initialise(self)
        self.train()

    def begin(self, x: Tensor) -> Tensor:
        return self.maxpool(self.stem(x))
