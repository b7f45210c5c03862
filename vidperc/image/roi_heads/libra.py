"""Balanced sampling (Libra R-CNN, https://arxiv.org/abs/1904.02701, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...ops.boxes import pairwise_iou
from ...structures import Instances
from ..assigners.common import learnable
from ..samplers import RandomSampler, all_of, draw
from .sampling import RegionSampler


@dataclass(frozen=True)
class BoundedSampler(RandomSampler):
    """As `RandomSampler`, with at most so many negatives for every positive, of which at least one is counted."""

    negatives_per_positive: int = 5

    def __call__(self, assigned: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        positives, negatives = super().__call__(assigned, generator)
        return positives, draw(negatives, self.negatives_per_positive * max(len(positives), 1), generator)


@dataclass(frozen=True)
class BalancedSampler:
    """Positives of all targets alike, negatives of all overlaps alike.

    Negatives without any overlap are taken only where the others do not suffice.

    Args:
        count: how many are sampled.
        positive_fraction: at most this part of them is positive.
        bins: intervals of the overlap, from 0 to the largest one of any region, that negatives are drawn from alike.
    """

    count: int = 512
    positive_fraction: float = 0.25
    bins: int = 3

    def __call__(self, assigned: Tensor, overlaps: Tensor) -> tuple[Tensor, Tensor]:
        """Indices of the positives and negatives among `assigned` (A,), whose largest IoUs are `overlaps` (A,)."""
        positives = self.draw_positives(assigned, int(self.count * self.positive_fraction))
        return positives, self.draw_negatives(assigned, overlaps, self.count - len(positives))

    @staticmethod
    def draw_positives(assigned: Tensor, count: int) -> Tensor:
        """At most `count` positives, nearly as many of each target."""
        positives = all_of(assigned >= 0)
        if len(positives) <= count:
            return positives
        each = round(count / len(assigned[positives].unique())) + 1
        return first_of_each(positives, assigned[positives], each)[:count]

    def draw_negatives(self, assigned: Tensor, overlaps: Tensor, count: int) -> Tensor:
        """At most `count` negatives, nearly as many of each interval of the overlap."""
        negatives = all_of(assigned == -1)
        if len(negatives) <= count:
            return negatives
        touching = negatives[overlaps[negatives] > 0]
        if len(touching) <= count:
            return torch.cat([touching, draw(all_of((assigned == -1) & (overlaps == 0)), count - len(touching))])
        interval = (overlaps[touching] / overlaps.max() * self.bins).long().clamp(max=self.bins - 1)
        return first_of_each(touching, interval, count // self.bins)[:count]


def first_of_each(indices: Tensor, groups: Tensor, each: int) -> Tensor:
    """The indices (N,) in random order, but at most `each` of a group (N,) before all that are more."""
    order = torch.randperm(len(indices), device=indices.device)
    indices, groups = indices[order], groups[order]
    by_group = groups.argsort(stable=True)
    ordered = groups[by_group]
    rank = torch.arange(len(ordered), device=ordered.device) - torch.searchsorted(ordered, ordered)
    surplus = torch.empty_like(rank)
    surplus[by_group] = (rank >= each).to(rank.dtype)
    return indices[surplus.argsort(stable=True)]


@dataclass(frozen=True)
class BalancedRegionSampler(RegionSampler):
    """A `RegionSampler` whose sampler looks at overlaps, too."""

    sampler: BalancedSampler  # type: ignore[assignment]

    def choose(self, assigned: Tensor, boxes: Tensor, targets: Instances) -> tuple[Tensor, Tensor]:
        truth = learnable(targets)[0]
        overlaps = pairwise_iou(boxes, truth).amax(1) if len(truth) else boxes.new_zeros(len(boxes))
        return self.sampler(assigned, overlaps)
