"""Neck and head of SiamRPN++ (https://arxiv.org/abs/1812.11703, section 4.3): correlation on several levels.

The half of each branch that sees the template runs once per object: `embed_template` gives the
kernels, `forward` slides them over the features of a search region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..ops.correlation import depthwise_correlation


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, and a ReLU where asked for."""

    conv_norm_pairs = (("conv", "bn"),)

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, *, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class ChannelReducer(nn.Module):
    """One 1x1 convolution with batch norm per level: each level to `out_channels`."""

    def __init__(self, in_channels: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        self.convs = nn.ModuleList(ConvNorm(channels, out_channels, 1, relu=False) for channels in in_channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [conv(feature) for conv, feature in zip(self.convs, features, strict=True)]


class BiasConv(nn.Module):
    """A 1x1 convolution with bias, named as the published checkpoints name it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class CorrelationBranch(nn.Module):
    """One level's branch: template and search features through a 3x3 each, correlated, then 1x1s."""

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.kernel_convs = ConvNorm(in_channels, channels, 3)
        self.search_convs = ConvNorm(in_channels, channels, 3)
        self.head_convs = nn.Sequential(ConvNorm(channels, channels, 1), BiasConv(channels, out_channels))

    def forward(self, kernels: Tensor, search: Tensor) -> Tensor:
        return self.head_convs(depthwise_correlation(self.search_convs(search), kernels))


@dataclass(slots=True)
class TemplateKernels:
    """The correlation kernels of N objects: per level (N, D, h, w), for classification and regression."""

    classification: list[Tensor]
    regression: list[Tensor]

    def __len__(self) -> int:
        return len(self.classification[0])

    def __getitem__(self, index: slice | Tensor | list[int]) -> TemplateKernels:
        return TemplateKernels([k[index] for k in self.classification], [k[index] for k in self.regression])

    @staticmethod
    def cat(parts: Sequence[TemplateKernels]) -> TemplateKernels:
        """The objects of all parts in order."""
        if len(parts) == 1:
            return parts[0]
        return TemplateKernels(
            [torch.cat(level) for level in zip(*(part.classification for part in parts))],
            [torch.cat(level) for level in zip(*(part.regression for part in parts))],
        )


class AveragedRPNHead(nn.Module):
    """Logits (B, 2A, H, W) and box codes (B, 4A, H, W) of the anchors, means over the levels.

    Channels of the logits are background of all A anchors, then object of all; those of the codes dx of
    all anchors, dy, dw, dh.
    """

    def __init__(self, in_channels: Sequence[int], anchors: int = 5, channels: int = 256) -> None:
        super().__init__()
        self.cls_heads = nn.ModuleList(CorrelationBranch(c, channels, 2 * anchors) for c in in_channels)
        self.reg_heads = nn.ModuleList(CorrelationBranch(c, channels, 4 * anchors) for c in in_channels)

    def shares(self) -> tuple[Tensor, Tensor]:
        """Of each level (L,) in the logits and in the codes, sums 1."""
        even = next(self.parameters()).new_full((len(self.cls_heads),), 1 / len(self.cls_heads))
        return even, even

    def embed_template(self, template: Sequence[Tensor]) -> TemplateKernels:
        """Kernels from the template's features, one (N, D, h, w) per level."""
        return TemplateKernels(
            [head.kernel_convs(level) for head, level in zip(self.cls_heads, template, strict=True)],  # type: ignore[operator]
            [head.kernel_convs(level) for head, level in zip(self.reg_heads, template, strict=True)],  # type: ignore[operator]
        )

    def forward(self, kernels: TemplateKernels, search: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and codes from the kernels and the search region's features, one (B, D, H, W) per level."""
        classes = [head(k, x) for head, k, x in zip(self.cls_heads, kernels.classification, search, strict=True)]
        codes = [head(k, x) for head, k, x in zip(self.reg_heads, kernels.regression, search, strict=True)]
        class_shares, code_shares = self.shares()
        return weighted_sum(classes, class_shares), weighted_sum(codes, code_shares)


class SiameseRPNHead(AveragedRPNHead):
    """As `AveragedRPNHead`, the levels in shares that are learned."""

    def __init__(self, in_channels: Sequence[int], anchors: int = 5, channels: int = 256) -> None:
        super().__init__(in_channels, anchors, channels)
        self.cls_weight = nn.Parameter(torch.ones(len(in_channels)))
        self.reg_weight = nn.Parameter(torch.ones(len(in_channels)))

    def shares(self) -> tuple[Tensor, Tensor]:
        return self.cls_weight.softmax(0), self.reg_weight.softmax(0)


def weighted_sum(levels: list[Tensor], shares: Tensor) -> Tensor:
    """Levels (L of (B, ...)) times `shares` (L,), summed."""
    out = levels[0] * shares[0]
    for level, share in zip(levels[1:], shares[1:]):
        out = out + level * share
    return out
