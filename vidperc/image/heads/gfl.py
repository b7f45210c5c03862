"""GFL (https://arxiv.org/abs/2006.04388): scores that mean quality, sides of boxes as distributions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...ops.boxes import aligned_iou
from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..distance_coders import anchor_points, boxes_around, distances_to
from ..losses import distribution_focal_loss, giou_loss, quality_focal_loss
from .dense import DenseOutputs, LevelMaps, Scale, TowerPredictor, initialise
from .matching import Matches, match, mean_over_processes


class GFLPredictor(TowerPredictor):
    """Logits of every class, and for each side of a box the logits of the distances 0 to `largest` strides.

    Args:
        classes: C.
        largest: distance, in strides.
        levels: each has a learned factor of its codes.
        options: of the towers.
    """

    def __init__(
        self, *, classes: int, largest: int = 16, levels: int = 5, channels: int = 256, **options: Any
    ) -> None:
        super().__init__(channels=channels, norm="gn", **options)
        self.gfl_cls = nn.Conv2d(channels, classes, 3, padding=1)
        self.gfl_reg = nn.Conv2d(channels, 4 * (largest + 1), 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in range(levels))
        initialise(self, self.gfl_cls)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        return {
            "logits": self.gfl_cls(self.cls_convs(x)),
            "codes": self.scales[index](self.gfl_reg(self.reg_convs(x))).float(),
        }


class DistributionCoder:
    """Distances as the means of distributions, in strides. Priors are square anchors of eight strides."""

    margin = 0

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor:
        """Boxes (..., 4) of logits (..., 4 * K)."""
        points = anchor_points(priors)
        scores = codes.unflatten(-1, (4, -1)).softmax(-1)
        values = torch.arange(scores.shape[-1], dtype=scores.dtype, device=scores.device)
        return boxes_around(points[..., :2], (scores * values).sum(-1) * points[..., 2:])

    def encode(self, priors: Tensor, boxes: Tensor, largest: int) -> Tensor:
        """Distances (..., 4) in strides, within what `largest` allows."""
        points = anchor_points(priors)
        return (distances_to(points[..., :2], boxes) / points[..., 2:]).clamp(0, largest - 0.1)


class GFLCriterion:
    """Quality focal loss of all anchors; of the positive ones GIoU and distribution focal loss, by their score.

    Args:
        assigner: anchors to targets.
        coder: of the distributions.
        box_weight, distribution_weight: of the two.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        coder: DistributionCoder,
        box_weight: float = 2.0,
        distribution_weight: float = 0.25,
    ) -> None:
        self.assigner, self.coder = assigner, coder
        self.box_weight, self.distribution_weight = box_weight, distribution_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        return self.losses(outputs, match(self.assigner, outputs, images, targets))

    def losses(self, outputs: DenseOutputs, matches: Matches) -> dict[str, Tensor]:
        """The losses by name."""
        positives = mean_over_processes(matches.count(len(outputs.logits)), outputs.logits)
        logits = outputs.logits.flatten(0, 1)
        codes = outputs.codes.flatten(0, 1)[matches.rows]
        boxes = self.coder.decode(matches.priors, codes)
        quality = logits.new_zeros(len(logits))
        quality[matches.rows] = aligned_iou(boxes.detach(), matches.boxes)
        classification = quality_focal_loss(logits, matches.labels, quality)

        weight = self.weight(outputs, matches)
        total = self.total(weight)
        codes = codes.unflatten(-1, (4, -1))  # (P, 4, K)
        distances = self.coder.encode(matches.priors, matches.boxes, codes.shape[-1] - 1)
        distribution = distribution_focal_loss(codes.flatten(0, 1), distances.flatten()).view(-1, 4).mean(1)
        return {
            "loss_class": matches.counted(classification) / positives,
            "loss_box": self.box_weight * (giou_loss(boxes, matches.boxes) * weight).sum() / total,
            "loss_distribution": self.distribution_weight * (distribution * weight).sum() / total,
        }

    @staticmethod
    def weight(outputs: DenseOutputs, matches: Matches) -> Tensor:
        """How much the box of each positive anchor counts, (P,): its best score."""
        return outputs.logits.detach().flatten(0, 1)[matches.rows].sigmoid().amax(1)

    def total(self, weight: Tensor) -> Tensor:
        """What the weighted losses of boxes are divided by."""
        return mean_over_processes(weight.sum(), weight)
