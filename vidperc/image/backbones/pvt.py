"""Pyramid Vision Transformer (https://arxiv.org/abs/2102.12122) and its second version (https://arxiv.org/abs/2106.13797).

Maps are (B, H, W, D) inside. Tensors are named as in the published detection checkpoints, but for the two layers on
each pixel: `layers.0.1.1.ffn.fc1` is their `layers.0.1.1.ffn.layers.0`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.attention import MultiheadAttention
from ...layers.drop_path import DropPath

HEADS = (1, 2, 5, 8)  # of the stages, whose channels are these times the first one's
STRIDES = (4, 2, 2, 2)
REDUCTIONS = (8, 4, 2, 1)  # of the sides of what attention looks at
EXPANSIONS = (8, 8, 4, 4)  # of the channels between the two layers on each pixel
PRETRAINING_SIDE = 224
EPSILON = 1e-6


class PatchEmbedding(nn.Module):
    """Squares of pixels to vectors: maps (B, H, W, D) to (B, H / stride, W / stride, D')."""

    def __init__(self, in_channels: int, channels: int, side: int, stride: int, padding: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, channels, side, stride, padding)
        self.norm = nn.LayerNorm(channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.projection(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))


class PositionEmbedding(nn.Module):
    """Adds a learned vector to each place of a square of `side`, resized to the map."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.pos_embed = nn.Parameter(torch.zeros(1, side**2, channels))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        square = self.pos_embed.unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)
        return x + F.interpolate(square, size=x.shape[1:3], mode="bilinear").permute(0, 2, 3, 1)


class ReducedAttention(nn.Module):
    """Every pixel looks at all pixels of a smaller map (section 3.3)."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.attn = MultiheadAttention(channels, heads)
        self.sr: nn.Module = nn.Identity()
        self.norm: nn.Module = nn.Identity()
        if reduction > 1:
            self.sr = nn.Conv2d(channels, channels, reduction, reduction)
            self.norm = nn.LayerNorm(channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        smaller = self.norm(self.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)).flatten(1, 2)
        return self.attn(x.flatten(1, 2), smaller, smaller).view_as(x)


class PixelLayers(nn.Module):
    """Two layers on each pixel."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def hidden(self, x: Tensor) -> Tensor:
        return self.fc1(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.hidden(x.permute(0, 3, 1, 2)))).permute(0, 2, 3, 1)


class NeighbourLayers(PixelLayers):
    """With a 3x3 convolution of each channel between the two, which tells of places (second version, section 3.3)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__(channels, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)

    def hidden(self, x: Tensor) -> Tensor:
        return self.depthwise(self.fc1(x))


class PVTBlock(nn.Module):
    """Attention, then layers on each pixel, both normalised before and added."""

    def __init__(self, channels: int, attn: nn.Module, ffn: nn.Module, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=EPSILON)
        self.attn = attn
        self.norm2 = nn.LayerNorm(channels, eps=EPSILON)
        self.ffn = ffn
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.ffn(self.norm2(x)))


class PVT(nn.Module):
    """Images (B, 3, H, W) to the outputs of the four stages, strides 4, 8, 16, 32.

    Args:
        blocks: of the stages; (2, 2, 2, 2) is Tiny, (3, 4, 6, 3) Small.
        channels: of the first stage; the others have 2, 5 and 8 times as many.
        drop_path: rate of the last block's stochastic depth; it rises linearly from 0.
    """

    patches: ClassVar = ((4, 0), (2, 0), (2, 0), (2, 0))  # side and padding of what becomes a pixel of each stage
    ffn: ClassVar[type[PixelLayers]] = PixelLayers

    def __init__(self, blocks: Sequence[int] = (2, 2, 2, 2), *, channels: int = 64, drop_path: float = 0.1) -> None:
        super().__init__()
        self.out_channels = [channels * heads for heads in HEADS]
        rates = iter(torch.linspace(0, drop_path, sum(blocks), device="cpu").tolist())
        self.layers = nn.ModuleList()
        before = 3
        for stage, count in enumerate(blocks):
            width = self.out_channels[stage]
            side, padding = self.patches[stage]
            body = [
                PVTBlock(
                    width,
                    ReducedAttention(width, HEADS[stage], REDUCTIONS[stage]),
                    self.ffn(width, width * EXPANSIONS[stage]),
                    next(rates),
                )
                for _ in range(count)
            ]
            embedding = PatchEmbedding(before, width, side, STRIDES[stage], padding)
            self.layers.append(self.make_stage(embedding, body, width, math.prod(STRIDES[: stage + 1])))
            before = width
        initialise(self)

    def make_stage(
        self, embedding: nn.Module, blocks: Sequence[nn.Module], channels: int, stride: int
    ) -> nn.Sequential:
        return nn.Sequential(
            embedding, nn.Sequential(PositionEmbedding(channels, PRETRAINING_SIDE // stride), *blocks)
        )  # fmt: skip

    def forward(self, x: Tensor) -> list[Tensor]:
        x = x.permute(0, 2, 3, 1)
        features = []
        for layer in self.layers:
            x = layer(x)
            features.append(x.permute(0, 3, 1, 2))
        return features


class PVTv2(PVT):
    """As `PVT`, with patches that overlap, no embedding of positions and normalised outputs.

    B0 has 32 channels, B1 and B2 have 64, B2 has blocks of (3, 4, 6, 3).
    """

    patches: ClassVar = ((7, 3), (3, 1), (3, 1), (3, 1))
    ffn = NeighbourLayers

    def make_stage(
        self, embedding: nn.Module, blocks: Sequence[nn.Module], channels: int, stride: int
    ) -> nn.Sequential:
        return nn.Sequential(embedding, nn.Sequential(*blocks), nn.LayerNorm(channels, eps=EPSILON))


def initialise(model: nn.Module) -> None:
    """Small linear layers, convolutions by how many values each input reaches."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            reached = math.prod(module.kernel_size) * module.out_channels / module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / reached))
        elif isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if isinstance(module, MultiheadAttention):
            nn.init.trunc_normal_(module.in_proj_weight, std=0.02)
