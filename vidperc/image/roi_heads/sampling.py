"""Which regions the second stage learns from."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class RegionSampler:
    """Assigns proposals to targets and samples them; the targets' own boxes are among the proposals."""

    assigner: Assigner
    sampler: RandomSampler | AllSampler
    add_targets: bool = True

    def __call__(self, proposals: Instances, targets: Instances, classes: int) -> SampledRegions:
        boxes = proposals.boxes
        assigned = self.assigner(boxes, targets)
        own = torch.zeros(0, dtype=torch.int64, device=boxes.device)
        if self.add_targets:
            usable = torch.ones(len(targets), dtype=torch.bool, device=boxes.device)
            own = (usable if targets.ignored is None else ~targets.ignored).nonzero(as_tuple=True)[0]
            boxes = torch.cat([targets.boxes[own], boxes])
            assigned = torch.cat([own, assigned])
        positives, negatives = self.choose(assigned, boxes, targets)
        both = torch.cat([positives, negatives])
        matched = assigned[positives]
        labels = torch.full_like(both, classes)
        if len(matched):
            if targets.labels is None:
                raise ValueError("targets have boxes but no labels to learn")
            labels[: len(positives)] = targets.labels[matched]
        return SampledRegions(
            boxes=boxes[both],
            labels=labels,
            matched=matched,
            target_boxes=targets.boxes[matched],
            is_target=both < len(own),
        )

    def choose(self, assigned: Tensor, boxes: Tensor, targets: Instances) -> tuple[Tensor, Tensor]:
        """Indices of the positives and of the negatives among the boxes (A, 4) that `assigned` (A,) speaks of."""
        return self.sampler(assigned)
