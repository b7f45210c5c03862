"""The network of STARK (https://arxiv.org/abs/2103.17154, section 3.1): transformer, corner head, score head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.conv import ConvNorm
from ..layers.positional_encoding import SinePositionalEncoding


@dataclass(slots=True)
class Tokens:
    """The pixels of feature maps of N objects as one sequence each."""

    values: Tensor  # (N, S, D)
    positions: Tensor  # (N, S, D) encoding of the place inside of the picture
    padding: Tensor  # (N, S) bool, true where the crop lies outside of the picture

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | Tensor) -> Tokens:
        return Tokens(self.values[rows], self.positions[rows], self.padding[rows])

    def write(self, rows: Tensor, place: int, part: Tokens) -> None:
        """Change in place: the objects of `rows` (N,) bool get `part` as their stretch of its length number `place`."""
        length = part.values.shape[1]
        stretch = slice(place * length, (place + 1) * length)
        self.values[rows, stretch] = part.values
        self.positions[rows, stretch] = part.positions
        self.padding[rows, stretch] = part.padding

    @staticmethod
    def cat(parts: Sequence[Tokens], dim: int = 0) -> Tokens:
        """The objects of all parts in order, or with `dim` 1 their sequences one after the other."""
        if len(parts) == 1:
            return parts[0]
        fields = zip(*((part.values, part.positions, part.padding) for part in parts))
        return Tokens(*(torch.cat(field, dim) for field in fields))


class StarkTransformer(nn.Module):
    """An encoder over the tokens of templates and search region, and a decoder of one learned query.

    Args:
        encoder, decoder: layers as DETR's.
        channels: D.
    """

    def __init__(self, *, encoder: Sequence[nn.Module], decoder: Sequence[nn.Module], channels: int = 256) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.norm = nn.LayerNorm(channels)
        self.query_embedding = nn.Embedding(1, channels)
        self.encode_position = SinePositionalEncoding(channels // 2)
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def tokens(self, features: Tensor, padding: Tensor) -> Tokens:
        """Features (N, D, h, w) of crops whose `padding` is (N, H, W), as tokens in the order of rows."""
        small = F.interpolate(padding[:, None].float(), features.shape[-2:])[:, 0].bool()  # (N, h, w)
        positions = self.encode_position(small)
        return Tokens(features.flatten(2).mT, positions.flatten(2).mT, small.flatten(1))

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """The decoded query (N, D) and the encoded tokens (N, S, D)."""
        memory = tokens.values
        for layer in self.encoder:
            memory = layer(memory, tokens.positions, tokens.padding)
        key = memory + tokens.positions
        place = self.query_embedding.weight.expand(len(memory), -1, -1)  # (N, 1, D)
        query = torch.zeros_like(place)
        for layer in self.decoder:
            query = layer(query, place, memory, key, tokens.padding)
        return self.norm(query)[:, 0], memory


class CornerHead(nn.Module):
    """A box as the expectations of its two corners over a map of probabilities each.

    Args:
        channels: D, of the tokens; the towers halve it three times.
        stride: pixels of the search crop from one token to the next.
    """

    def __init__(self, channels: int = 256, stride: int = 16) -> None:
        super().__init__()
        self.stride = stride
        self.top_left, self.bottom_right = _tower(channels), _tower(channels)

    def forward(self, query: Tensor, search: Tensor) -> Tensor:
        """Boxes (N, 4) xyxy in pixels of the crop, from queries (N, D) and the search tokens (N, S, D) of a square."""
        side = round(search.shape[1] ** 0.5)
        likeness = search @ query[:, :, None]  # (N, S, 1)
        features = (search * likeness).mT.unflatten(2, (side, side)).contiguous(memory_format=torch.channels_last)
        return torch.cat([self._expect(tower(features)) for tower in (self.top_left, self.bottom_right)], 1)

    def _expect(self, logits: Tensor) -> Tensor:
        """Mean place (N, 2: x y) under the softmax of a map (N, 1, h, w)."""
        share = logits.float().flatten(1).softmax(1).view(len(logits), *logits.shape[2:])  # (N, h, w)
        x, y = (torch.arange(n, device=share.device) * float(self.stride) for n in (share.shape[2], share.shape[1]))
        return torch.stack([(share.sum(1) * x).sum(1), (share.sum(2) * y).sum(1)], 1)


def _tower(channels: int) -> nn.Sequential:
    widths = [channels, channels, channels // 2, channels // 4, channels // 8]
    layers = [ConvNorm(before, after, 3, norm="bn", bias=True, padding=1) for before, after in zip(widths, widths[1:])]
    for layer in layers:
        nn.init.kaiming_normal_(layer.conv.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
        nn.init.zeros_(layer.conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))


class ScoreHead(nn.Sequential):
    """Logits (N,) of the decoded queries (N, D): is the object in the search region at all?"""

    def __init__(self, channels: int = 256) -> None:
        super().__init__(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 1)
        )

    def forward(self, query: Tensor) -> Tensor:
        return super().forward(query)[:, 0].float()
