"""Multi-scale deformable attention without a compiled operator (https://arxiv.org/abs/2010.04159, eq. 3).

For every query and head, 4 bilinear corners of each sampling point are rows of one table of values, and
their bilinear times attention weights are known: the sum is a weighted bag of rows, which
`embedding_bag` does in one fused pass, on the CPU and on GPUs. A border of zeros around every map makes corners
outside of it rows like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

Shapes = Sequence[tuple[int, int]]
POINTS_AT_ONCE = 1 << 16  # without gradients, so many points' corners are in work: they stay in the cache
BORDER = 3  # rows or columns of zeros: one before a map, two after it


def ms_deform_attn(values: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of values sampled at `locations`, zero outside of the maps.

    Args:
        values: (B, S, heads, D), the L maps flattened row by row, one after the other.
        shapes: (height, width) of the maps; S is the sum of their areas.
        locations: (B, Q, heads, L, points, 2), x and y from 0 to 1 over a map (pixel centres at (i + 0.5) / size).
        weights: (B, Q, heads, L, points), of `locations`.

    Returns:
        (B, Q, heads * D)

    Raises:
        ValueError: sizes that do not agree.
    """
    sizes = locations.new_tensor([(w, h) for h, w in shapes], dtype=torch.float32)  # (L, 2)
    if len(sizes) != locations.shape[3]:
        raise _disagreement(values, shapes, locations, weights)
    return attend_to_pixels(values, shapes, locations.float() * sizes[:, None] - 0.5, weights)


def attend_to_pixels(values: Tensor, shapes: Shapes, places: Tensor, weights: Tensor) -> Tensor:
    """As `ms_deform_attn`, with float32 `places` in pixels of the maps: x and y, 0 at the centre of the first."""
    batch, length, heads, channels = values.shape
    queries, levels, points = places.shape[1], places.shape[3], places.shape[4]
    fits = sum(h * w for h, w in shapes) == length and len(shapes) == levels
    if not fits or weights.shape != places.shape[:-1]:
        raise _disagreement(values, shapes, places, weights)
    table = _Table.of(values, shapes, points)
    places, weights = places.flatten(2, 4), weights.flatten(2)
    chunk = max(queries, 1)
    if not (torch.is_grad_enabled() and (values.requires_grad or weights.requires_grad or places.requires_grad)):
        chunk = max(POINTS_AT_ONCE * queries // max(weights.numel(), 1), 1)
    parts = [
        table.sums(places[:, start : start + chunk], weights[:, start : start + chunk])
        for start in range(0, queries, chunk)
    ]
    if not parts:
        return values.new_zeros(batch, 0, heads * channels)
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _disagreement(values: Tensor, shapes: Shapes, places: Tensor, weights: Tensor) -> ValueError:
    return ValueError(
        f"values {tuple(values.shape)}, maps {list(shapes)}, locations {tuple(places.shape)} and "
        f"weights {tuple(weights.shape)} do not agree"
    )


class _Table:
    """The values of all maps, heads and images as rows, and what leads to a pixel's row.

    The M = heads * L * points of a query stand in one dimension, so that arithmetic on them is on long vectors:
    `width`, `height`, `pitch` (rows from one line of a map to the next) and `first` (row of the first pixel) are
    of each.
    """

    def __init__(self, rows: Tensor, heads: int, width: Tensor, height: Tensor, pitch: Tensor, first: Tensor) -> None:
        self.rows, self.heads = rows, heads
        self.width, self.height, self.pitch, self.first = width, height, pitch, first

    @staticmethod
    def of(values: Tensor, shapes: Shapes, points: int) -> _Table:
        """Of values (B, S, heads, D)."""
        batch, _, heads, channels = values.shape
        areas = [(h + BORDER) * (w + BORDER) for h, w in shapes]
        table = values.new_zeros(batch, sum(areas), heads * channels)
        maps = values.flatten(2).split([h * w for h, w in shapes], dim=1)
        starts = [sum(areas[:level]) for level in range(len(areas))]
        for (h, w), source, start, area in zip(shapes, maps, starts, areas):
            bordered = table[:, start : start + area].view(batch, h + BORDER, w + BORDER, -1)
            bordered[:, 1 : h + 1, 1 : w + 1] = source.view(batch, h, w, -1)
        facts = [
            (w, h, (w + BORDER) * heads, (start + w + BORDER + 1) * heads) for (h, w), start in zip(shapes, starts)
        ]
        every = torch.tensor(facts, dtype=torch.int32, device=values.device).T  # (4, L)
        width, height, pitch, first = every[:, None, :, None].expand(-1, heads, -1, points).flatten(1)
        head = torch.arange(heads, dtype=torch.int32, device=values.device).repeat_interleave(len(first) // heads)
        image = torch.arange(batch, dtype=torch.int32, device=values.device) * (sum(areas) * heads)
        return _Table(
            table.view(-1, channels), heads, width.float(), height.float(), pitch, first + head + image[:, None, None]
        )  # fmt: skip

    def sums(self, places: Tensor, weights: Tensor) -> Tensor:
        """At places (B, q, M, 2) with weights (B, q, M): (B, q, heads * D)."""
        column, right = _before(places[..., 0], self.width)
        row, below = _before(places[..., 1], self.height)
        corner = row.mul_(self.pitch).add_(column.mul_(self.heads)).add_(self.first)  # the upper left one
        rows = torch.stack(
            (corner, corner + self.heads, corner + self.pitch, corner + (self.pitch + self.heads)), dim=-1
        )
        lower = below * weights
        upper = weights - lower
        upper_right, lower_right = upper * right, lower * right
        bag_weights = torch.stack((upper - upper_right, upper_right, lower - lower_right, lower_right), dim=-1)
        bags = rows.shape[0] * rows.shape[1] * self.heads
        sums = embedding_bag(
            rows.view(bags, -1), self.rows, mode="sum",
            per_sample_weights=bag_weights.view(bags, -1).to(self.rows.dtype),
        )  # fmt: skip
        return sums.reshape(*rows.shape[:2], -1)


def _before(place: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis, the last pixel before each place (int32) and how far it is; nothing is far outside."""
    place = torch.minimum(place.clamp(min=-1), size)
    pixel = place.detach().floor()
    return pixel.int(), place - pixel
