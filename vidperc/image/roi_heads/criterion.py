"""The losses of the second stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..box_coders import DeltaCoder
from ..losses.classification import cross_entropy
from ..regression import Regression
from .box_head import BoxOutputs, codes_of_labels
from .sampling import SampledRegions


@dataclass(frozen=True)
class BoxCriterion:
    """Cross entropy of all sampled regions and a box loss of the positive ones, over the number sampled."""

    regression: Regression

    def __call__(self, outputs: BoxOutputs, sampled: Sequence[SampledRegions], coder: DeltaCoder) -> dict[str, Tensor]:
        labels = torch.cat([part.labels for part in sampled])  # (S,)
        count = max(len(labels), 1)
        positive = labels < outputs.logits.shape[1] - 1
        boxes = torch.cat([part.boxes for part in sampled])[positive]
        targets = torch.cat([part.target_boxes for part in sampled])
        codes = codes_of_labels(outputs.codes[positive], labels[positive])
        box_loss = self.regression(coder, boxes, codes, targets).sum() + outputs.codes.sum() * 0
        return {
            "loss_class": cross_entropy(outputs.logits, labels).sum() / count,
            "loss_box": box_loss / count,
        }


@dataclass(frozen=True)
class ClassWeightedCriterion(BoxCriterion):
    """As `BoxCriterion`, the loss of the classes `class_weight` times."""

    class_weight: float = 1.5

    def __call__(self, outputs: BoxOutputs, sampled: Sequence[SampledRegions], coder: DeltaCoder) -> dict[str, Tensor]:
        losses = super().__call__(outputs, sampled, coder)
        return {**losses, "loss_class": self.class_weight * losses["loss_class"]}
