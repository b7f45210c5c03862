"""Assignment of the nearest points (RepPoints, https://arxiv.org/abs/1904.11490, section 3.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...ops.boxes import box_centres
from ...structures import Instances
from .common import BACKGROUND, learnable, to_target_index


class NearestPointAssigner:
    """The points nearest to a target's centre, on the level of its size, learn it.

    Args:
        scale: strides that an object of a level is large.
        nearest: points per target.
    """

    def __init__(self, scale: float = 4.0, nearest: int = 1) -> None:
        self.scale, self.nearest = scale, nearest

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        boxes, index = learnable(targets)
        if len(boxes) == 0:
            return torch.full((len(priors),), BACKGROUND, device=priors.device)
        point_level = priors[:, 2].log2().int()  # (A,)
        size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)
        level = (size / self.scale).log2().mean(1).int().clamp(int(point_level.min()), int(point_level.max()))
        away = (priors[:, None, :2] - box_centres(boxes)) / size
        distance = away.square().sum(-1).masked_fill(point_level[:, None] != level, torch.inf)  # (A, N)
        near = distance.topk(min(self.nearest, len(priors)), dim=0, largest=False)
        chosen = torch.full_like(distance, torch.inf).scatter_(0, near.indices, near.values)
        least, target = chosen.min(1)
        return to_target_index(torch.where(least < torch.inf, target, BACKGROUND), index)
