"""The parts of Deformable DETR's transformer (https://arxiv.org/abs/2010.04159).

Parameters are named as in the authors' release. Features of L levels travel as one sequence (B, S, C);
`shapes` are the maps' (height, width), `padding` (B, S) is true where the batch is padded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..ops.ms_deform_attn import Shapes, attend_to_pixels
from .attention import MultiheadAttention


class MSDeformAttn(nn.Module):
    """Multi-scale deformable attention: every query looks at a few points around its reference.

    Args:
        channels: C, divided among the heads.
        heads, levels, points: M, L and K of the paper.
    """

    def __init__(self, channels: int = 256, *, heads: int = 8, levels: int = 4, points: int = 4) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide among {heads} heads")
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(channels, heads * levels * points * 2)
        self.attention_weights = nn.Linear(channels, heads * levels * points)
        self.value_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self._initialise()

    def _initialise(self) -> None:
        """Heads look in different directions, points ever farther, all with the same weight (section 4.1)."""
        angle = torch.arange(self.heads) * (2 * math.pi / self.heads)
        direction = torch.stack((angle.cos(), angle.sin()), dim=-1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        reach = torch.arange(1, self.points + 1)[:, None]
        offsets = (direction[:, None, None] * reach).expand(-1, self.levels, -1, -1)  # (heads, L, points, 2)
        nn.init.zeros_(self.sampling_offsets.weight)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.reshape(-1))
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def values(self, memory: Tensor, padding: Tensor | None = None) -> Tensor:
        """What is sampled: (B, S, C) to (B, S, heads, C / heads), zero where padded."""
        values = self.value_proj(memory)
        if padding is not None:
            values = values.masked_fill(padding[..., None], 0)
        return values.unflatten(-1, (self.heads, -1))

    def sample(self, query: Tensor, reference: Tensor, values: Tensor, shapes: Shapes) -> Tensor:
        """The sampled sums before the output projection, (B, Q, C); see `forward`."""
        per_head = self.levels * self.points
        offsets = self.sampling_offsets(query).unflatten(-1, (self.heads, 2 * per_head)).float()
        weights = self.attention_weights(query).float().unflatten(-1, (self.heads, per_head)).softmax(-1)
        sizes = reference.new_tensor([(w, h) for h, w in shapes])  # (L, 2)
        if reference.shape[-1] == 4:
            offsets = offsets * self._per_point(reference[..., 2:] * sizes * (0.5 / self.points))
        # In pixels of each level, where an offset is one as it is; x and y of all points of a head side by side.
        places = offsets + self._per_point(reference[..., :2] * sizes - 0.5)  # (B, Q, heads, L * points * 2)
        grid = (self.levels, self.points)
        return attend_to_pixels(values, shapes, places.unflatten(-1, (*grid, 2)), weights.unflatten(-1, grid))

    def _per_point(self, x: Tensor) -> Tensor:
        """What is of each level (B, Q, L, 2) for all points of any head, (B, Q, 1, L * points * 2)."""
        return x[:, :, :, None].expand(-1, -1, -1, self.points, -1).flatten(2)[:, :, None]

    def forward(
        self, query: Tensor, reference: Tensor, memory: Tensor, shapes: Shapes, padding: Tensor | None = None
    ) -> Tensor:
        """Attend from queries (B, Q, C) to `memory` (B, S, C).

        Args:
            reference: per query and level, (B, Q, L, 2) points x y or (B, Q, L, 4) boxes cx cy w h, from 0 to 1
                over the padded map; offsets are in pixels of a level, with boxes in parts of their size.

        Returns:
            (B, Q, C)
        """
        return self.output_proj(self.sample(query, reference, self.values(memory, padding), shapes))


class DeformableEncoderLayer(nn.Module):
    """Deformable attention of every pixel to the pixels around it, then a two-layer network."""

    def __init__(
        self,
        channels: int = 256,
        *,
        hidden: int = 1024,
        dropout: float = 0.1,
        heads: int = 8,
        levels: int = 4,
        points: int = 4,
    ) -> None:
        super().__init__()
        self.self_attn = MSDeformAttn(channels, heads=heads, levels=levels, points=points)
        self.norm1 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, memory: Tensor, position: Tensor, reference: Tensor, shapes: Shapes, padding: Tensor | None = None
    ) -> Tensor:
        attended = self.self_attn(memory + position, reference, memory, shapes, padding)
        memory = self.norm1(memory + self.dropout(attended))
        updated = self.linear2(self.dropout(self.linear1(memory).relu_()))
        return self.norm2(memory + self.dropout(updated))


class DeformableEncoder(nn.Module):
    """Layers one after the other; every pixel's reference is its own place."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self, memory: Tensor, position: Tensor, shapes: Shapes, valid: Tensor, padding: Tensor | None = None
    ) -> Tensor:
        """(B, S, C) to the same shape. `valid` (B, L, 2) are the ratios of `valid_ratios`."""
        reference = pixel_references(shapes, valid)
        for layer in self.layers:
            memory = layer(memory, position, reference, shapes, padding)
        return memory


class DeformableDecoderLayer(nn.Module):
    """Attention among the queries, deformable attention to the image, a two-layer network."""

    def __init__(
        self,
        channels: int = 256,
        *,
        hidden: int = 1024,
        dropout: float = 0.1,
        heads: int = 8,
        levels: int = 4,
        points: int = 4,
    ) -> None:
        super().__init__()
        self.cross_attn = MSDeformAttn(channels, heads=heads, levels=levels, points=points)
        self.norm1 = nn.LayerNorm(channels)
        self.self_attn = MultiheadAttention(channels, heads, dropout)
        self.norm2 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, hidden)
        self.linear2 = nn.Linear(hidden, channels)
        self.norm3 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        query: Tensor,
        position: Tensor,
        reference: Tensor,
        memory: Tensor,
        shapes: Shapes,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Queries (B, Q, C) after one layer; `reference` (B, Q, L, 2 or 4) as in `MSDeformAttn`."""
        key = query + position
        query = self.norm2(query + self.dropout(self.self_attn(key, key, query)))
        query = self.norm1(query + self.dropout(self.cross_attn(query + position, reference, memory, shapes, padding)))
        updated = self.linear2(self.dropout(self.linear1(query).relu_()))
        return self.norm3(query + self.dropout(updated))


class DeformableDecoder(nn.Module):
    """Layers one after the other, with a step between them that may move the references (box refinement)."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        query: Tensor,
        position: Tensor,
        reference: Tensor,
        memory: Tensor,
        shapes: Shapes,
        valid: Tensor,
        padding: Tensor | None = None,
        refine: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run the layers.

        Args:
            query, position: (B, Q, C) content and positional part of the queries.
            reference: (B, Q, 2) points or (B, Q, 4) boxes cx cy w h, from 0 to 1 over the unpadded image.
            refine: (layer index, queries after the layer, reference it saw) to the reference of the next.

        Returns:
            The queries after each layer (B, Q, C), and the references each layer started from.
        """
        queries, references = [], []
        for index, layer in enumerate(self.layers):
            references.append(reference)
            query = layer(query, position, scaled_references(reference, valid), memory, shapes, padding)
            queries.append(query)
            if refine is not None:
                reference = refine(index, query, reference)
        return queries, references


def flatten_levels(maps: Sequence[Tensor]) -> Tensor:
    """Maps (B, C, H, W) of all levels as one sequence (B, S, C)."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in maps], dim=1)


def valid_ratios(paddings: Sequence[Tensor]) -> Tensor:
    """The unpadded part of width and height in each map (B, H, W), true where padded: (B, L, 2) as x, y."""
    ratios = [torch.stack(((~p[:, 0]).float().mean(1), (~p[:, :, 0]).float().mean(1)), dim=-1) for p in paddings]
    return torch.stack(ratios, dim=1)


def pixel_references(shapes: Shapes, valid: Tensor) -> Tensor:
    """Where every pixel lies in every map, (B, S, L, 2), from 0 to 1 over the padded map.

    A pixel keeps its place relative to the unpadded image, whose share differs from level to level.
    """
    centres = []
    for level, (height, width) in enumerate(shapes):
        y = (torch.arange(height, device=valid.device) + 0.5) / height
        x = (torch.arange(width, device=valid.device) + 0.5) / width
        grid = torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), dim=-1).flatten(0, 1)
        centres.append(grid / valid[:, level, None])  # (B, H * W, 2)
    return torch.cat(centres, dim=1)[:, :, None] * valid[:, None]


def scaled_references(reference: Tensor, valid: Tensor) -> Tensor:
    """References (B, Q, 2 or 4) over the unpadded image, as each padded level sees them: (B, Q, L, 2 or 4)."""
    ratios = valid if reference.shape[-1] == 2 else torch.cat((valid, valid), dim=-1)
    return reference[:, :, None] * ratios[:, None]


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """The logit of values in [0, 1], kept finite by `eps`."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))
