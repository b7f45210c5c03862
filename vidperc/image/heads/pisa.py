"""Prime sample attention (https://arxiv.org/abs/1904.04821) in the losses of RetinaNet and SSD."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...ops.boxes import aligned_iou
from ...structures import ImageList, Instances
from ..box_coders import DeltaCoder
from ..losses import cross_entropy, smooth_l1_loss
from ..prime_samples import ImportanceWeights, ScoreWeights
from .dense import DenseOutputs
from .matching import Matches, match, match_everywhere
from .retinanet import AnchorCriterion
from .ssd import SSDCriterion


class PISAAnchorCriterion(AnchorCriterion):
    """As `AnchorCriterion`; positive anchors count by importance, and their box loss again by their scores.

    Args:
        importance: weights of the classes.
        carl: weights of the second box loss.
        options: as of `AnchorCriterion`.
    """

    def __init__(self, *, importance: ImportanceWeights, carl: ScoreWeights, **options: Any) -> None:
        super().__init__(**options)
        self.importance, self.carl = importance, carl

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match(self.assigner, outputs, images, targets)
        positives = matches.count(len(targets))
        logits, codes = outputs.logits.flatten(0, 1), outputs.codes.flatten(0, 1)[matches.rows]
        classification = self.class_loss(logits, matches.labels)  # (B * A, C)
        each = classification.detach()[matches.rows].sum(1)
        weight = torch.ones_like(logits[:, :1])
        weight[matches.rows, 0] = important(self.importance, self.coder, codes, matches, each)
        boxes = self.box_weight * self.code_loss(codes, self.coder.encode(matches.priors, matches.boxes))
        scores = logits[matches.rows, matches.positive_labels].sigmoid()
        return {
            "loss_class": matches.counted(classification * weight) / positives,
            "loss_box": boxes.sum() / positives,
            "loss_carl": (boxes.sum(1) * self.carl(scores)).sum() / positives,
        }


class PISASSDCriterion(SSDCriterion):
    """As `SSDCriterion`; positive anchors count by importance, and their box loss again by their scores.

    Args:
        importance: weights of the classes.
        carl: weights of the second box loss.
        options: as of `SSDCriterion`.
    """

    def __init__(self, *, importance: ImportanceWeights, carl: ScoreWeights, **options: Any) -> None:
        super().__init__(**options)
        self.importance, self.carl = importance, carl

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match_everywhere(self.assigner, outputs, targets)
        positives = matches.count(len(targets))
        batch, count, channels = outputs.logits.shape
        logits, codes = outputs.logits.flatten(0, 1), outputs.codes.flatten(0, 1)[matches.rows]
        loss = cross_entropy(logits, torch.where(matches.labels < 0, channels - 1, matches.labels))
        each = loss[matches.rows]
        weight = important(self.importance, self.coder, codes, matches, each.detach())
        boxes = smooth_l1_loss(codes, self.coder.encode(matches.priors, matches.boxes)).sum(1)
        scores = logits[matches.rows].softmax(1).gather(1, matches.positive_labels[:, None])[:, 0]
        hard = self.hard_negatives(loss.view(batch, count), matches)
        return {
            "loss_class": ((each * weight).sum() + hard.sum()) / positives,
            "loss_box": boxes.sum() / positives,
            "loss_carl": (boxes * self.carl(scores)).sum() / positives,
        }


def important(weights: ImportanceWeights, coder: DeltaCoder, codes: Tensor, matches: Matches, loss: Tensor) -> Tensor:
    """The weights (P,) of positive anchors with codes (P, 4) and class losses (P,)."""
    iou = aligned_iou(coder.decode(matches.priors, codes.detach()), matches.boxes)
    return weights(iou, matches.positive_labels, matches.targets, loss)
