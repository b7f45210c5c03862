"""What all assigners share: the signature, and how ignored regions are set aside."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ...ops.boxes import pairwise_iof
from ...structures import Instances

BACKGROUND, IGNORED = -1, -2


class Assigner(Protocol):
    """Priors (A, 4) or (A, 3) and the targets of one image to the index of each prior's target, (A,) int64."""

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor: ...


def learnable(targets: Instances) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) of the targets that are not ignored, and their indices (N,)."""
    if targets.ignored is None:
        return targets.boxes, torch.arange(len(targets), device=targets.boxes.device)
    index = (~targets.ignored).nonzero()[:, 0]
    return targets.boxes[index], index


def to_target_index(assigned: Tensor, index: Tensor) -> Tensor:
    """Assigned rows of `learnable` as rows of the targets; background and ignored stay."""
    if len(index) == 0:
        return assigned
    return torch.where(assigned >= 0, index[assigned.clamp(min=0)], assigned)


def last_true(mask: Tensor) -> Tensor:
    """The last column (A,) of each row of a mask (A, N) that is true; -1 where none is."""
    columns = torch.arange(mask.shape[1], device=mask.device)
    return torch.where(mask, columns, -1).amax(1)


def in_ignored_regions(priors: Tensor, targets: Instances, threshold: float) -> Tensor:
    """Which boxes (A, 4) lie in an ignored region by more than `threshold` of their area, (A,) bool."""
    if targets.ignored is None or not bool(targets.ignored.any()):
        return torch.zeros(len(priors), dtype=torch.bool, device=priors.device)
    return pairwise_iof(priors, targets.boxes[targets.ignored]).amax(1) > threshold


def require_levels(predictions: Any) -> list[int]:
    """The sizes of the levels in the predictions (`DenseOutputs`) of an image.

    Raises:
        ValueError: no predictions are given.
    """
    if predictions is None:
        raise ValueError("this assigner needs `predictions`, which know the sizes of the levels")
    sizes: list[int] = predictions.level_sizes
    return sizes
