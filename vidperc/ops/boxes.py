"""Overlaps of boxes: every pair, or row by row."""

from __future__ import annotations

import torch
from torch import Tensor


def box_area(boxes: Tensor) -> Tensor:
    """Areas of boxes (..., 4) xyxy, 0 for inverted ones."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def pairwise_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Areas that boxes (A, 4) and (N, 4) share, (A, N)."""
    width = torch.minimum(a[:, None, 2], b[None, :, 2]).sub_(torch.maximum(a[:, None, 0], b[None, :, 0]))
    height = torch.minimum(a[:, None, 3], b[None, :, 3]).sub_(torch.maximum(a[:, None, 1], b[None, :, 1]))
    return width.clamp_(min=0).mul_(height.clamp_(min=0))


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (A, 4) and (N, 4), (A, N)."""
    shared = pairwise_intersection(a, b)
    union = (box_area(a)[:, None] + box_area(b)[None]).sub_(shared).clamp_(min=1e-6)
    return shared.div_(union)


def pairwise_iof(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over the area of the first (foreground) boxes (A, 4) with (N, 4), (A, N)."""
    return pairwise_intersection(a, b).div_(box_area(a)[:, None].clamp(min=1e-6))


def aligned_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union row by row, (..., 4) and (..., 4) to (...); gradients pass."""
    shared = aligned_intersection(a, b)
    return shared / (box_area(a) + box_area(b) - shared).clamp(min=1e-6)


def aligned_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Shared areas row by row, (..., 4) and (..., 4) to (...)."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    return size[..., 0] * size[..., 1]


def box_centres(boxes: Tensor) -> Tensor:
    """Centres (..., 2) of boxes (..., 4)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2
