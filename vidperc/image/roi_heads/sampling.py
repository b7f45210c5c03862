"""Which regions the second stage learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...structures import Instances
from ..assigners import Assigner
from ..samplers import AllSampler, RandomSampler


@dataclass
class SampledRegions:
    """S regions of an image, the positive ones first, with what they shall learn."""

    boxes: Tensor  # (S, 4)
    labels: Tensor  # (S,), the number of classes for background
    matched: Tensor  # (S+,) index of the target of each positive one
    target_boxes: Tensor  # (S+, 4)
    is_target: Tensor  # (S,) whether the region is a target's own box

    @property
    def positives(self) -> int:
        """How many are positive."""
        return len(self.matched)


class Candidates(NamedTuple):
    """The regions of an image that are sampled from."""

    boxes: Tensor  # (A, 4), the targets' own first
    assigned: Tensor  # (A,) index of the target, -1 background, -2 ignored
    own: int  # how many of them are targets' own


@dataclass(frozen=True)
class RegionSampler:
    """Assigns proposals to targets and samples them; the targets' own boxes are among the proposals."""

    assigner: Assigner
    sampler: RandomSampler | AllSampler
    add_targets: bool = True

    def __call__(self, proposals: Instances, targets: Instances, classes: int) -> SampledRegions:
        candidates = self.candidates(proposals, targets)
        chosen = self.choose(candidates.assigned, candidates.boxes, targets)
        return collect(candidates, *chosen, targets, classes)

    def candidates(self, proposals: Instances, targets: Instances) -> Candidates:
        """The proposals and the targets' own boxes, assigned."""
        boxes = proposals.boxes
        assigned = self.assigner(boxes, targets)
        if not self.add_targets:
            return Candidates(boxes, assigned, 0)
        usable = torch.ones(len(targets), dtype=torch.bool, device=boxes.device)
        own = (usable if targets.ignored is None else ~targets.ignored).nonzero(as_tuple=True)[0]
        return Candidates(torch.cat([targets.boxes[own], boxes]), torch.cat([own, assigned]), len(own))

    def choose(self, assigned: Tensor, boxes: Tensor, targets: Instances) -> tuple[Tensor, Tensor]:
        """Indices of the positives and of the negatives among the boxes (A, 4) that `assigned` (A,) speaks of."""
        return self.sampler(assigned)


def collect(
    candidates: Candidates, positives: Tensor, negatives: Tensor, targets: Instances, classes: int
) -> SampledRegions:
    """The candidates at the rows `positives` and `negatives`, with what they shall learn.

    Raises:
        ValueError: targets without labels.
    """
    both = torch.cat([positives, negatives])
    matched = candidates.assigned[positives]
    labels = torch.full_like(both, classes)
    if len(matched):
        if targets.labels is None:
            raise ValueError("targets have boxes but no labels to learn")
        labels[: len(positives)] = targets.labels[matched]
    return SampledRegions(
        boxes=candidates.boxes[both],
        labels=labels,
        matched=matched,
        target_boxes=targets.boxes[matched],
        is_target=both < candidates.own,
    )
