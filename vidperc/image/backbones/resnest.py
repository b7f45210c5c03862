"""ResNeSt (https://arxiv.org/abs/2004.08955): ResNet's 3x3 convolutions in splits that attend to channels.

Tensors are named as in the published checkpoints: `stem.0`, `layer1.0.conv2.conv`, `layer1.0.conv2.fc1` ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...layers.norm import NormKind, make_norm
from .resnet import BLOCKS
from .staged import StagedBackbone, deep_stem, initialise, pooled_shortcut

EXPANSION = 4
RADIX = 2  # splits
REDUCTION = 4  # of the channels between the two layers of the attention
LEAST_HIDDEN = 32


class SplitAttention(nn.Module):
    """A 3x3 convolution to two splits, then their sum by weights that the means of all channels give (section 3.1).

    (B, D, H, W) to the same shape. The weights of a channel in the splits add up to one.
    """

    conv_norm_pairs: ClassVar = (("conv", "bn0"), ("fc1", "bn1"))

    def __init__(self, channels: int, norm: NormKind) -> None:
        super().__init__()
        hidden = max(channels * RADIX // REDUCTION, LEAST_HIDDEN)
        self.conv = nn.Conv2d(channels, channels * RADIX, 3, padding=1, groups=RADIX, bias=False)
        self.bn0 = make_norm(norm, channels * RADIX)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = make_norm(norm, hidden)
        self.fc2 = nn.Conv2d(hidden, channels * RADIX, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn0(self.conv(x)))  # (B, R * D, H, W)
        first, second = x.chunk(RADIX, dim=1)
        means = x.mean((2, 3), keepdim=True).unflatten(1, (RADIX, -1)).sum(1)  # (B, D, 1, 1)
        logits = self.fc2(self.relu(self.bn1(self.fc1(means)))).unflatten(1, (RADIX, -1))  # (B, R, D, 1, 1)
        weights = logits.softmax(1)
        return torch.addcmul(first * weights[:, 0], second, weights[:, 1])


class ResNeStBlock(nn.Module):
    """1x1, split attention, 1x1 convolutions and a shortcut; a stride is the mean of 3x3 pixels after the attention."""

    conv_norm_pairs: ClassVar = (("conv1", "bn1"), ("conv3", "bn3"))

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        downsample: nn.Module | None = None,
        norm: NormKind = "bn",
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = make_norm(norm, width)
        self.conv2 = SplitAttention(width, norm)
        self.pool = nn.AvgPool2d(3, stride, 1) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.bn3 = make_norm(norm, width * EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.pool(self.conv2(x))
        x = self.bn3(self.conv3(x))
        return self.relu(x.add_(shortcut))


class ResNeSt(StagedBackbone):
    """Images (B, 3, H, W) to the outputs of the stages in `out_indices`, strides 4, 8, 16, 32 by default.

    Args:
        depth: 50, 101 or 152.
        stem_channels: 64, 128 from ResNeSt-101 on.
        base_channels: width of the first stage's blocks, 64 in all published networks.
        norm: kind of normalisation.
        out_indices, frozen_stages, norm_eval: as `StagedBackbone`'s.
    """

    stem_names = ("stem",)

    def __init__(
        self,
        depth: int = 50,
        *,
        stem_channels: int = 64,
        base_channels: int = 64,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        norm: NormKind = "bn",
        frozen_stages: int = 1,
        norm_eval: bool = True,
    ) -> None:
        super().__init__(out_indices=out_indices, frozen_stages=frozen_stages, norm_eval=norm_eval)
        if depth not in BLOCKS or depth < 50:
            raise ValueError(f"ResNeSt depth {depth}: expected 50, 101 or 152")
        self.stem = deep_stem(stem_channels, norm)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = stem_channels
        for stage, blocks in enumerate(BLOCKS[depth]):
            width, stride = base_channels * 2**stage, 2 if stage else 1
            shortcut = pooled_shortcut(channels, width * EXPANSION, stride, norm)
            first = ResNeStBlock(channels, width, stride=stride, downsample=shortcut, norm=norm)
            channels = width * EXPANSION
            rest = (ResNeStBlock(channels, width, norm=norm) for _ in range(blocks - 1))
            self.add_stage(nn.Sequential(first, *rest), channels)
        initialise(self)
        self.train()

    def begin(self, x: Tensor) -> Tensor:
        return self.maxpool(self.stem(x))
