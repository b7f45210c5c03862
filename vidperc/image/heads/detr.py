"""DETR (https://arxiv.org/abs/2005.12872): a transformer between the coarsest feature map and 100 learned queries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from ...layers.attention import MultiheadAttention
from ...layers.positional_encoding import SinePositionalEncoding
from ...structures import ImageList
from .query import QueryOutputs, is_padded, padding_masks


class DETREncoderLayer(nn.Module):
    """Attention of every pixel to every pixel, then a two-layer network (appendix A.3)."""

    def __init__(self, channels: int = 256, *, heads: int = 8, hidden: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(channels, heads, dropout)
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, memory: Tensor, position: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, S, D) to the same shape; `padding` (B, S) is true where nothing is to be seen."""
        key = memory + position
        attended = self.self_attn(key, key, memory, padding)
        memory = self.norm1(memory + self.dropout(attended))
        updated = self.linear2(self.dropout(self.linear1(memory).relu_()))
        return self.norm2(memory + self.dropout(updated))


class DETRDecoderLayer(nn.Module):
    """Attention among the queries, attention to the image, a two-layer network (appendix A.3)."""

    def __init__(self, channels: int = 256, *, heads: int = 8, hidden: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(channels, heads, dropout)
        self.cross_attn = MultiheadAttention(channels, heads, dropout)
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, query: Tensor, position: Tensor, memory: Tensor, key: Tensor, padding: Tensor | None = None
    ) -> Tensor:
        """Queries (B, Q, D) after one layer; `key` (B, S, D) is the memory with its position."""
        mine = query + position
        query = self.norm1(query + self.dropout(self.self_attn(mine, mine, query)))
        seen = self.cross_attn(query + position, key, memory, padding)
        query = self.norm2(query + self.dropout(seen))
        updated = self.linear2(self.dropout(self.linear1(query).relu_()))
        return self.norm3(query + self.dropout(updated))


class DETRPredictor(nn.Module):
    """Classes and boxes of learned queries, after every decoder layer.

    Args:
        encoder, decoder: the layers.
        classes: C; the logits have one more, for no object.
        in_channels: of the last feature map, the only one that is used.
        channels: D, of the layers.
        queries: how many.
    """

    def __init__(
        self,
        *,
        encoder: Sequence[nn.Module],
        decoder: Sequence[nn.Module],
        classes: int = 80,
        in_channels: int = 2048,
        channels: int = 256,
        queries: int = 100,
    ) -> None:
        super().__init__()
        self.encode_position = SinePositionalEncoding(channels // 2)
        self.input_proj = nn.Conv2d(in_channels, channels, 1)
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.norm = nn.LayerNorm(channels)
        self.query_embedding = nn.Embedding(queries, channels)
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        self.classes = nn.Linear(channels, classes + 1)
        self.boxes = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 4)
        )

    def forward(self, features: list[Tensor], images: ImageList) -> QueryOutputs:
        x = self.input_proj(features[-1])
        mask = padding_masks(images, [(x.shape[-2], x.shape[-1])])[0]
        position = self.encode_position(mask).flatten(2).transpose(1, 2)  # (B, S, D)
        padding = mask.flatten(1) if is_padded(images) else None
        memory = x.flatten(2).transpose(1, 2)
        for layer in self.encoder:
            memory = layer(memory, position, padding)
        key = memory + position
        places = self.query_embedding.weight.expand(len(x), -1, -1)
        query, hidden = torch.zeros_like(places), []
        for layer in self.decoder:
            query = layer(query, places, memory, key, padding)
            hidden.append(self.norm(query))
        layers = torch.stack(hidden)  # (L, B, Q, D)
        boxes = box_convert(self.boxes(layers).float().sigmoid(), "cxcywh", "xyxy")
        return QueryOutputs(self.classes(layers).float(), boxes)
