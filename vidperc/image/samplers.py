"""Samplers: which of the assigned priors take part in the loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RandomSampler:
    """At most `count` priors, of which at most `positive_fraction` are positive, drawn without replacement.

    Negatives fill what positives leave free.
    """

    count: int = 256
    positive_fraction: float = 0.5

    def __call__(self, assigned: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Indices of the positives and of the negatives among `assigned` (A,): target, -1 background, -2 ignored."""
        positives = draw(all_of(assigned >= 0), int(self.count * self.positive_fraction), generator)
        negatives = draw(all_of(assigned == -1), self.count - len(positives), generator)
        return positives, negatives


@dataclass(frozen=True)
class AllSampler:
    """Every prior that is not ignored."""

    def __call__(self, assigned: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Indices of the positives and of the negatives among `assigned` (A,)."""
        return all_of(assigned >= 0), all_of(assigned == -1)


def all_of(mask: Tensor) -> Tensor:
    """Indices (N,) where the mask is true."""
    return mask.nonzero(as_tuple=True)[0]


def draw(indices: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """At most `count` of the indices, uniformly; all of them in their order where there are no more."""
    if len(indices) <= count:
        return indices
    device = generator.device if generator is not None else indices.device
    order = torch.randperm(len(indices), generator=generator, device=device)[:count]
    return indices[order.to(indices.device)]
