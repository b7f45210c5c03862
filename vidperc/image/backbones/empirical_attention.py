"""Attention in residual blocks as compared in "An Empirical Study of Spatial Attention" (https://arxiv.org/abs/1904.05873).

A pixel attends to another by the sum of up to four terms (equation 2): what both look like, what it looks like and how
far the other is, what the other looks like alone, and how far it is alone. A code names those that are used: 1111 all
of them, 0010 only the other's looks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.added import keep_own
from .resnet import Bottleneck

WAVE_LENGTH = 1000.0


class SaliencyAttention(nn.Module):
    """What the pixels of a picture show, weighted by looks alone, added to all of them (code 0010).

    Args:
        channels: of the maps.
        heads: each has a weighting of its own.
        stride: every so many pixels along either side are attended to.
    """

    def __init__(self, channels: int, *, heads: int = 8, stride: int = 2) -> None:
        super().__init__()
        self.heads, self.stride = heads, stride
        self.key_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.value_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.proj_conv = nn.Conv2d(channels, channels, 1)
        self.appr_bias = uniform_bias(channels, heads)
        self.gamma = nn.Parameter(torch.zeros(1))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        seen = x[..., :: self.stride, :: self.stride]
        keys, values = (by_head(conv(seen), self.heads) for conv in (self.key_conv, self.value_conv))
        energy = keys @ self.appr_bias.view(self.heads, -1, 1)  # (B, heads, K, 1)
        out = (values * energy.softmax(2)).sum(2)  # (B, heads, D / heads)
        return x + self.gamma * self.proj_conv(out.flatten(1)[..., None, None])


class GeneralizedAttention(SaliencyAttention):
    """What the pixels of a picture show, weighted by all four terms, added to each of them (code 1111)."""

    def __init__(self, channels: int, *, heads: int = 8, stride: int = 2) -> None:
        super().__init__(channels, heads=heads, stride=stride)
        self.query_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.appr_geom_fc_x = nn.Linear(channels // 2, channels, bias=False)
        self.appr_geom_fc_y = nn.Linear(channels // 2, channels, bias=False)
        self.geom_bias = uniform_bias(channels, heads)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        seen = x[..., :: self.stride, :: self.stride]
        keys, values = (
            by_head(conv(seen), self.heads) for conv in (self.key_conv, self.value_conv)
        )  # (B, heads, K, d)
        queries = by_head(self.query_conv(x), self.heads)  # (B, heads, H * W, d)
        about_distance = (queries + self.geom_bias.view(self.heads, 1, -1)).unflatten(2, (height, width))
        layers = (self.appr_geom_fc_x, self.appr_geom_fc_y)
        by_distance = distance_energy(about_distance, about_distance, *layers, self.stride)
        looks = queries + self.appr_bias.view(self.heads, 1, -1)
        out = F.scaled_dot_product_attention(looks, keys, values, attn_mask=by_distance, scale=1.0)
        return x + self.gamma * self.proj_conv(as_map(out, height, width))


class DistanceAttention(nn.Module):
    """What the pixels of a picture show, weighted by how far each of them is from one that looks so (code 0100).

    Pictures are square: as published, what a pixel asks of rows is asked by the one mirrored on the diagonal.
    """

    def __init__(self, channels: int, *, heads: int = 8, stride: int = 2) -> None:
        super().__init__()
        self.heads, self.stride = heads, stride
        inner = channels // heads * heads
        self.query_conv = nn.Conv2d(channels, inner, 1, bias=False)
        self.value_conv = nn.Conv2d(channels, inner, 1, bias=False)
        self.appr_geom_fc_x = nn.Linear(channels // 2, inner, bias=False)
        self.appr_geom_fc_y = nn.Linear(channels // 2, inner, bias=False)
        self.proj_conv = nn.Conv2d(inner, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        queries = by_head(self.query_conv(x), self.heads).unflatten(2, (height, width))
        values = by_head(self.value_conv(x[..., :: self.stride, :: self.stride]), self.heads)  # (B, heads, K, d)
        layers = (self.appr_geom_fc_x, self.appr_geom_fc_y)
        energy = distance_energy(queries, queries.transpose(2, 3), *layers, self.stride)
        return x + self.gamma * self.proj_conv(as_map(energy.softmax(-1) @ values, height, width))


def by_head(x: Tensor, heads: int) -> Tensor:
    """Maps (B, D, H, W) as (B, heads, H * W, D / heads)."""
    return x.flatten(2).unflatten(1, (heads, -1)).transpose(2, 3)


def as_map(x: Tensor, height: int, width: int) -> Tensor:
    """The other way."""
    return x.transpose(2, 3).flatten(1, 2).unflatten(2, (height, width))


def distance_energy(of_columns: Tensor, of_rows: Tensor, by_x: nn.Linear, by_y: nn.Linear, stride: int) -> Tensor:
    """The terms of the distance, (B, heads, H * W, K): one of the columns between two pixels, one of the rows.

    Args:
        of_columns, of_rows: queries (B, heads, H, W, d).
        by_x, by_y: what becomes of the sines and cosines of a distance.
        stride: every so many pixels along either side are attended to.
    """
    heads, height, width = of_columns.shape[1:4]
    columns = distances(width, by_x, heads, stride)  # (heads, W, W', d)
    rows = distances(height, by_y, heads, stride)  # (heads, H, H', d)
    by_column = torch.einsum("nhywd,hwxd->nhywx", of_columns, columns.to(of_columns.dtype))
    by_row = torch.einsum("nhywd,hyzd->nhywz", of_rows, rows.to(of_rows.dtype))
    return (by_row[..., :, None] + by_column[..., None, :]).flatten(4).flatten(2, 3)


def distances(size: int, layer: nn.Linear, heads: int, stride: int) -> Tensor:
    """An embedding (heads, size, size / stride, d) of how far each pixel of a side is from those attended to."""
    device = layer.weight.device
    positions = torch.arange(size, device=device, dtype=torch.float32)
    away = positions[:, None, None] - positions[::stride, None]  # (size, size / stride, 1)
    count = layer.in_features // 2
    waves = WAVE_LENGTH ** (torch.arange(count, device=device, dtype=torch.float32) / count)
    embedded = layer(torch.cat([(away / waves).sin(), (away / waves).cos()], dim=-1)) / 2**0.5
    return embedded.unflatten(2, (heads, -1)).permute(2, 0, 1, 3)


def uniform_bias(channels: int, heads: int) -> nn.Parameter:
    """A vector (channels,) drawn from within 1 / sqrt(2 d), d channels of a head."""
    bound = (2 * (channels // heads)) ** -0.5
    return nn.Parameter(torch.empty(channels).uniform_(-bound, bound))


def initialise(module: nn.Module) -> None:
    """Weights that keep the variance (https://arxiv.org/abs/1502.01852, with a slope of 1)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(part.weight, a=1)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class AttentionBottleneck(Bottleneck):
    """A `Bottleneck` with attention after its 3x3 convolution.

    Args:
        attention: makes it for a number of channels.
        options: as `Bottleneck`'s.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        attention: Callable[[int], nn.Module] = GeneralizedAttention,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, width, **options)
        self.gen_attention_block = attention(self.conv3.in_channels)

    def complete(self, state: dict[str, Tensor], prefix: str) -> None:
        keep_own(self, state, prefix, "gen_attention_block")

    def inner(self, x: Tensor) -> Tensor:
        return self.gen_attention_block(super().inner(x))
