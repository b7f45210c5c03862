"""Multi-scale deformable attention without a compiled operator (https://arxiv.org/abs/2010.04159, eq. 3).

For every query and head, 4 bilinear corners of each sampling point are rows of one table of values, and
their bilinear times attention weights are known: the sum is a weighted bag of rows, which
`embedding_bag` does in one fused pass, on the CPU and on GPUs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

Shapes = Sequence[tuple[int, int]]
POINTS_AT_ONCE = 1 << 16  # without gradients, so many points' corners are in work: they stay in the cache


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
    batch, length, heads, channels = values.shape
    queries, levels = locations.shape[1], locations.shape[3]
    if sum(h * w for h, w in shapes) != length or len(shapes) != levels or weights.shape != locations.shape[:-1]:
        raise ValueError(
            f"values {tuple(values.shape)}, maps {list(shapes)}, locations {tuple(locations.shape)} and "
            f"weights {tuple(weights.shape)} do not agree"
        )
    table = values.reshape(batch * length * heads, channels)
    first = _first_rows(values, shapes)  # (B, 1, heads, L, 1)
    chunk = queries
    if not (torch.is_grad_enabled() and (values.requires_grad or weights.requires_grad or locations.requires_grad)):
        chunk = max(POINTS_AT_ONCE * queries // max(weights.numel(), 1), 1)
    parts = [
        _bags(table, shapes, first, heads, locations[:, start : start + chunk], weights[:, start : start + chunk])
        for start in range(0, queries, chunk)
    ]
    if not parts:
        return values.new_zeros(batch, 0, heads * channels)
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def _first_rows(values: Tensor, shapes: Shapes) -> Tensor:
    """Row of each map's first pixel in the table, (B, 1, heads, L, 1)."""
    batch, length, heads, _ = values.shape
    int32, device = torch.int32, values.device
    starts = [sum(h * w for h, w in shapes[:level]) * heads for level in range(len(shapes))]
    image = torch.arange(batch, dtype=int32, device=device) * (length * heads)
    head = torch.arange(heads, dtype=int32, device=device)
    level = torch.tensor(starts, dtype=int32, device=device)
    return (image[:, None, None] + head[:, None] + level)[:, None, :, :, None]


def _bags(table: Tensor, shapes: Shapes, first: Tensor, heads: int, locations: Tensor, weights: Tensor) -> Tensor:
    """The sums of some queries, (B, q, heads * D)."""
    batch, queries = locations.shape[:2]
    size_x = locations.new_tensor([w for _, w in shapes], dtype=torch.float32)[:, None]  # (L, 1)
    size_y = locations.new_tensor([h for h, _ in shapes], dtype=torch.float32)[:, None]
    column, weight_x = _corners(locations[..., 0], size_x)  # (2, B, q, heads, L, points)
    row, weight_y = _corners(locations[..., 1], size_y)
    row = row * (size_x * heads).int() + first
    rows = torch.stack([row[y] + column[x] * heads for y in (0, 1) for x in (0, 1)], dim=-1)
    weight_y = weight_y * weights
    bag_weights = torch.stack([weight_y[y] * weight_x[x] for y in (0, 1) for x in (0, 1)], dim=-1)
    bags = batch * queries * heads
    sums = embedding_bag(
        rows.reshape(bags, -1), table, mode="sum", per_sample_weights=bag_weights.reshape(bags, -1).to(table.dtype)
    )
    return sums.reshape(batch, queries, -1)


def _corners(location: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis, the pixels before and after each point (int32, inside the map) and their weights."""
    pixel = location.float() * size - 0.5
    lower = pixel.detach().floor()
    fraction = pixel - lower
    both = torch.stack((lower, lower + 1))
    last = size - 1
    inside = (both >= 0) & (both <= last)
    weight = torch.stack((1 - fraction, fraction)) * inside
    return both.clamp_min_(0).minimum(last).int(), weight
