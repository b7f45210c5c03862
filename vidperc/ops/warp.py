"""Warping feature maps by optical flow."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Taps(NamedTuple):
    """The four cells that each cell of a moved map takes, and with what weights: (B, H W, 4) each."""

    cells: Tensor  # int64, row-major
    weights: Tensor


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Sample `features` where the flow points to, bilinearly; outside, the border repeats.

    Positions are measured as the published video detectors were trained: cell p of W is read at p (W - 1) / W.

    Args:
        features: (B, D, H, W).
        flow: (B, 2, H, W) x and y displacements in cells of the feature map: output cell p takes p + flow(p).
    """
    if features.device.type == "cpu" and not (
        torch.is_grad_enabled() and (features.requires_grad or flow.requires_grad)
    ):
        taps = bilinear_taps(flow)
        height, width = flow.shape[-2:]
        moved = [take(table_of(one), *part) for one, *part in zip(features, *taps)]
        return torch.stack(moved).unflatten(1, (height, width)).permute(0, 3, 1, 2)
    grid = torch.stack(positions(flow), dim=-1)  # (B, H, W, 2)
    height, width = features.shape[-2:]
    grid = grid / grid.new_tensor([max(width - 1, 1), max(height - 1, 1)]) * 2 - 1
    return F.grid_sample(features, grid.to(features.dtype), "bilinear", "border", align_corners=True)


def positions(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Where each cell of a moved map is read, x and y: (B, H, W) each."""
    height, width = flow.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    return (flow[:, 0] + x) * ((width - 1) / width), (flow[:, 1] + y) * ((height - 1) / height)


def bilinear_taps(flow: Tensor) -> Taps:
    """What each cell of a map moved by a flow (B, 2, H, W) is made of."""
    height, width = flow.shape[-2:]
    x, y = positions(flow.float())
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.floor(), y.floor()
    right_share, bottom_share = x - left, y - top
    weights = torch.stack(
        (
            (1 - right_share) * (1 - bottom_share), right_share * (1 - bottom_share),
            (1 - right_share) * bottom_share, right_share * bottom_share,
        ), dim=-1,
    )  # fmt: skip
    left, top = left.long(), top.long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    cells = torch.stack(
        (top * width + left, top * width + right, bottom * width + left, bottom * width + right), dim=-1
    )
    return Taps(cells.flatten(1, 2), weights.flatten(1, 2))


def table_of(features: Tensor) -> Tensor:
    """A map (D, H, W) as a row per cell (H W, D): a view where channels are last in memory."""
    return features.permute(1, 2, 0).flatten(0, 1)


def take(table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of rows (R, K) of a table (N, D): (R, D)."""
    return F.embedding_bag(rows, table, per_sample_weights=weights.to(table.dtype), mode="sum")
