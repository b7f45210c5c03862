"""Assignment of points by the size of what they lie in (FCOS, https://arxiv.org/abs/1904.01355, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...ops.boxes import box_area, box_centres
from ...structures import Instances
from ..distance_coders import distances_to
from .common import BACKGROUND, learnable, to_target_index

INFINITE = 1e8


class PointRangeAssigner:
    """A point inside a target whose farthest side is within the range of its level learns the smallest such target.

    Args:
        strides: by level, finest first; a point (x, y, stride) belongs to the level of its stride.
        ends: by level, the largest distance to a side; the smallest is the end of the level before.
        radius: points must be this close to the centre of the target, in strides; None takes all inside.
    """

    def __init__(
        self,
        strides: Sequence[float] = (8, 16, 32, 64, 128),
        ends: Sequence[float] = (64, 128, 256, 512, INFINITE),
        *,
        radius: float | None = None,
    ) -> None:
        self.strides, self.ends, self.radius = tuple(strides), tuple(ends), radius

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        boxes, index = learnable(targets)
        if len(boxes) == 0:
            return torch.full((len(priors),), BACKGROUND, device=priors.device)
        distances = distances_to(priors[:, None, :2], boxes[None])  # (A, N, 4)
        inside = self._inside(priors, boxes, distances)
        level = torch.bucketize(priors[:, 2].contiguous(), priors.new_tensor(self.strides))
        low, high = priors.new_tensor([-1, *self.ends[:-1]])[level], priors.new_tensor(self.ends)[level]
        farthest = distances.amax(-1)
        fits = inside & (farthest >= low[:, None]) & (farthest <= high[:, None])
        area = box_area(boxes).expand(len(priors), -1).masked_fill(~fits, INFINITE)
        smallest, target = area.min(1)
        return to_target_index(torch.where(smallest < INFINITE, target, BACKGROUND), index)

    def _inside(self, priors: Tensor, boxes: Tensor, distances: Tensor) -> Tensor:
        if self.radius is None:
            return distances.amin(-1) > 0
        centre, reach = box_centres(boxes)[None], priors[:, None, 2:] * self.radius  # (1, N, 2), (A, 1, 1)
        low = torch.maximum(centre - reach, boxes[None, :, :2])
        high = torch.minimum(centre + reach, boxes[None, :, 2:])
        return distances_to(priors[:, None, :2], torch.cat((low, high), dim=-1)).amin(-1) > 0
