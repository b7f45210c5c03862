"""Prime sample attention (PISA, https://arxiv.org/abs/1904.04821): what counts most for precision learns most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def rank_within(values: Tensor, groups: Tensor) -> Tensor:
    """The rank (N,) of each value among those of its group, 0 that of the largest; of equal ones the first is before.

    Args:
        values: (N,).
        groups: (N,) int64.
    """
    order = values.argsort(descending=True, stable=True)
    order = order[groups[order].argsort(stable=True)]
    ordered = groups[order]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - torch.searchsorted(ordered, ordered)
    return rank


@dataclass(frozen=True)
class ImportanceWeights:
    """How much the classes of positive samples count, by their rank (IoU-HLR, section 4.1).

    The better a box is among those of its target, the earlier; of equal ranks of a class by IoU.

    Args:
        power, bias: the weight is (bias + (1 - bias) w) ** power, w falling linearly with the rank.
    """

    power: float = 2.0
    bias: float = 0.0

    @torch.no_grad()
    def __call__(self, iou: Tensor, labels: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Weights (P,) that leave the sum of the losses (P,) as it is.

        Args:
            iou: (P,) of the predicted box with the target's.
            labels, targets: (P,) class and target, the latter counted over the whole batch.
            loss: (P,) of the class.
        """
        if len(iou) == 0:
            return iou
        most = labels.bincount().max()
        importance = iou + (most - rank_within(iou, targets))
        weight = (most - rank_within(importance, labels)) / most
        weight = (self.bias + weight * (1 - self.bias)) ** self.power
        return weight * loss.sum() / (loss * weight).sum()


@dataclass(frozen=True)
class ScoreWeights:
    """How much the boxes of positive samples count, by the score of their class, which learns from it (CARL).

    Args:
        power, bias: the weight is (bias + (1 - bias) score) ** power.
    """

    power: float = 1.0
    bias: float = 0.2

    def __call__(self, scores: Tensor) -> Tensor:
        """Weights (P,) whose mean is 1, of scores (P,)."""
        weight = (self.bias + (1 - self.bias) * scores) ** self.power
        return weight * (len(weight) / weight.sum())
