"""Adaptive training sample selection (ATSS, https://arxiv.org/abs/1912.02424, algorithm 1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...ops.boxes import box_centres, pairwise_iou
from ...structures import Instances
from ..distance_coders import distances_to
from .common import BACKGROUND, learnable, require_levels, to_target_index


class ATSSAssigner:
    """Of the anchors nearest to a target on each level, those that overlap it unusually well learn it.

    Needs `predictions` for the sizes of the levels.

    Args:
        nearest: anchors of each level that are looked at.
    """

    def __init__(self, nearest: int = 9) -> None:
        self.nearest = nearest

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        boxes, index = learnable(targets)
        if len(boxes) == 0:
            return torch.full((len(priors),), BACKGROUND, device=priors.device)
        centres = box_centres(priors)
        row = nearest_per_level(centres, box_centres(boxes), require_levels(predictions), self.nearest)  # (K, N)
        iou = pairwise_iou(priors, boxes)  # (A, N)
        candidates = iou.gather(0, row)
        threshold = candidates.mean(0) + candidates.std(0)
        inside = distances_to(centres[row], boxes[None]).amin(-1) > 0.01
        positive = torch.zeros_like(iou, dtype=torch.bool).scatter_(0, row, (candidates >= threshold) & inside)
        best, target = iou.masked_fill(~positive, -1).max(1)
        return to_target_index(torch.where(best >= 0, target, BACKGROUND), index)


def nearest_per_level(points: Tensor, centres: Tensor, level_sizes: list[int], nearest: int) -> Tensor:
    """Rows of the points (A, 2) that are nearest to centres (N, 2), so many of each level: (K, N)."""
    rows, start = [], 0
    for size in level_sizes:
        distance = torch.cdist(points[start : start + size], centres, compute_mode="donot_use_mm_for_euclid_dist")
        rows.append(distance.topk(min(nearest, size), dim=0, largest=False).indices + start)
        start += size
    return torch.cat(rows)
