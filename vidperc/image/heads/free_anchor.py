"""FreeAnchor (https://arxiv.org/abs/1909.02466): a target learns with a bag of anchors. RetinaNet's network."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ops.boxes import pairwise_iou
from ...structures import ImageList, Instances
from ..assigners.common import learnable
from ..box_coders import DeltaCoder
from ..losses import smooth_l1_loss
from .dense import DenseOutputs
from .matching import mean_over_processes, require_labels

EPS = 1e-12


class FreeAnchorCriterion:
    """The likelihood that one anchor of each bag finds its target, and that others find nothing.

    Args:
        coder: of the boxes.
        bag: anchors per target.
        least_iou: of a decoded box with a target, above which it may be that target.
        alpha, gamma: of the focal loss.
        box_weight: of the loss of codes.
    """

    def __init__(
        self,
        *,
        coder: DeltaCoder,
        bag: int = 50,
        least_iou: float = 0.6,
        alpha: float = 0.5,
        gamma: float = 2.0,
        box_weight: float = 0.75,
    ) -> None:
        self.coder, self.bag, self.least_iou = coder, bag, least_iou
        self.alpha, self.gamma, self.box_weight = alpha, gamma, box_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        scores = outputs.logits.sigmoid()
        positive, negative, count = outputs.logits.sum() * 0, outputs.logits.sum() * 0, 0
        for score, codes, each in zip(scores, outputs.codes, targets):
            boxes, index = learnable(each)
            labels = require_labels(each)[index]
            positive = positive + self.bag_losses(score, codes, outputs.priors, boxes, labels).sum()
            found = self.found(score, codes, outputs.priors, boxes, labels)
            wrong = (score * (1 - found)).clamp(EPS, 1 - 1e-7)
            negative = negative - (wrong**self.gamma * torch.log1p(-wrong)).sum()
            count += len(boxes)
        total = mean_over_processes(count, scores)
        return {
            "loss_bag": self.alpha * positive / total,
            "loss_background": (1 - self.alpha) * negative / (total * self.bag),
        }

    def bag_losses(self, scores: Tensor, codes: Tensor, priors: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """-log of the probability that a bag holds an anchor that finds the target, (N,) (equation 5)."""
        row = pairwise_iou(boxes, priors).topk(min(self.bag, len(priors)), dim=1).indices  # (N, K)
        error = smooth_l1_loss(codes[row], self.coder.encode(priors[row], boxes[:, None]), beta=0.11).sum(-1)
        probability = scores[row, labels[:, None]] * (-self.box_weight * error).exp()
        weight = 1 / (1 - probability).clamp(min=EPS)
        bag = (weight / weight.sum(1, keepdim=True) * probability).sum(1)
        return -bag.clamp(min=EPS).log()

    @torch.no_grad()
    def found(self, scores: Tensor, codes: Tensor, priors: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        """The probability (A, C) that an anchor's box is an object of a class."""
        iou = pairwise_iou(boxes, self.coder.decode(priors, codes))  # (N, A)
        best = iou.amax(1, keepdim=True).clamp(min=self.least_iou + EPS)
        probability = ((iou - self.least_iou) / (best - self.least_iou).clamp(min=EPS)).clamp(0, 1)
        target = labels[:, None].expand_as(probability)
        out = torch.zeros(scores.shape[::-1], device=scores.device)  # (C, A)
        return out.scatter_reduce_(0, target, probability, "amax").T
