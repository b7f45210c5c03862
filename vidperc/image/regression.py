"""What of a box a regression loss sees: its codes or the box itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .box_coders import DeltaCoder
from .losses.boxes import iou_loss
from .losses.regression import l1_loss

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class CodeRegression:
    """A loss of the codes (L1, smooth L1), summed over a box's four."""

    loss: Loss = l1_loss
    weight: float = 1.0

    def __call__(self, coder: DeltaCoder, priors: Tensor, codes: Tensor, boxes: Tensor) -> Tensor:
        """(N,) losses of predicted codes (N, 4) on priors (N, 4) whose targets are boxes (N, 4)."""
        return self.weight * self.loss(codes, coder.encode(priors, boxes)).sum(-1)


@dataclass(frozen=True)
class BoxRegression:
    """A loss of the decoded box (IoU, GIoU, bounded IoU), one value per box."""

    loss: Loss = iou_loss
    weight: float = 10.0

    def __call__(self, coder: DeltaCoder, priors: Tensor, codes: Tensor, boxes: Tensor) -> Tensor:
        """(N,) losses of predicted codes (N, 4) on priors (N, 4) whose targets are boxes (N, 4)."""
        return self.weight * self.loss(coder.decode(priors, codes), boxes)


Regression = CodeRegression | BoxRegression
