"""AutoAssign (https://arxiv.org/abs/2007.03496): points inside of a target learn it by weights that are learnt, too."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops.boxes import box_centres, pairwise_iou
from ...structures import ImageList, Instances
from ..assigners.common import learnable
from ..distance_coders import DistanceCoder, distances_to
from ..losses import giou_loss
from .dense import DenseOutputs
from .fcos import FCOSPredictor
from .matching import last_of_each, mean_over_processes, require_labels

EPS = 1e-12


class AutoAssignPredictor(FCOSPredictor):
    """FCOS's network; it begins with boxes of four strides to each side."""

    def __init__(self, **options: Any) -> None:
        super().__init__(centerness_on="reg", positive=torch.relu, conv_bias=True, **options)
        nn.init.constant_(self.conv_cls.bias, -math.log((1 - 0.02) / 0.02))  # type: ignore[arg-type]
        nn.init.constant_(self.conv_reg.bias, 4.0)  # type: ignore[arg-type]


class Pairs(NamedTuple):
    """The M pairs of a point and a target that it lies in, ordered by target."""

    points: Tensor  # (M,)
    targets: Tensor  # (M,)
    labels: Tensor  # (M,) class of the target
    weight: Tensor  # (M,) how central the point is, by what its class has learnt of it


class AutoAssignCriterion(nn.Module):
    """Positive and negative losses of all points, weighted by confidence, and a loss of the weights (section 3).

    Args:
        coder: of the distances.
        classes: each learns where in a box its objects are: `mean` and `sigma` (C, 2), in strides from the centre.
        box_weight: of the GIoU within the confidence.
        positive_weight, negative_weight, centre_weight: of the losses.
    """

    def __init__(
        self,
        *,
        coder: DistanceCoder,
        classes: int = 80,
        box_weight: float = 5.0,
        positive_weight: float = 0.25,
        negative_weight: float = 0.75,
        centre_weight: float = 0.75,
    ) -> None:
        super().__init__()
        self.coder, self.box_weight = coder, box_weight
        self.positive_weight, self.negative_weight, self.centre_weight = positive_weight, negative_weight, centre_weight
        self.mean = nn.Parameter(torch.zeros(classes, 2))
        self.sigma = nn.Parameter(torch.ones(classes, 2))

    def forward(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        assert outputs.quality is not None
        scores = outputs.logits.sigmoid() * outputs.quality.sigmoid()[..., None]  # (B, A, C)
        positive, negative, centre, weights, count = [], [], [], [], 0
        for score, codes, each in zip(scores, outputs.codes, targets):
            boxes, index = learnable(each)
            pairs = self.pairs(outputs.priors, boxes, require_labels(each)[index])
            predicted = self.coder.decode(outputs.priors, codes)
            positive.append(self.positive_loss(score, predicted, boxes, pairs))
            negative.append(self.negative_loss(score, predicted.detach(), boxes, pairs))
            weight = pairs.weight.sum()
            centre.append(len(boxes) / weight.clamp(min=EPS) if len(pairs.points) else weight * 0)
            weights.append(weight.detach())
            count += len(boxes)
        objects = mean_over_processes(count, scores)
        total_weight = mean_over_processes(torch.stack(weights).sum(), scores)
        return {
            "loss_positive": self.positive_weight * torch.stack(positive).sum() / objects,
            "loss_negative": self.negative_weight * torch.stack(negative).sum() / total_weight,
            "loss_centre": self.centre_weight * torch.stack(centre).mean(),
        }

    def pairs(self, priors: Tensor, boxes: Tensor, labels: Tensor) -> Pairs:
        """Which of the points (A, 3) lie in which of the targets (N, 4)."""
        inside = distances_to(priors[:, None, :2], boxes).amin(-1) > 0  # (A, N)
        target, point = inside.T.nonzero(as_tuple=True)
        label = labels[target]
        away = (priors[point, :2] - box_centres(boxes)[target]) / priors[point, 2:] - self.mean[label]
        weight = (-away.square() / (2 * self.sigma[label].square())).exp().prod(-1)
        return Pairs(point, target, label, weight)

    def positive_loss(self, scores: Tensor, predicted: Tensor, boxes: Tensor, pairs: Pairs) -> Tensor:
        """-log of each target's confidence, the mean of its points' by weight; summed."""
        place = (-self.box_weight * giou_loss(predicted[pairs.points], boxes[pairs.targets])).exp()
        confidence = scores[pairs.points, pairs.labels] * place
        weight = (3 * confidence).exp() * pairs.weight
        zeros = weight.new_zeros(len(boxes))
        total = zeros.index_add(0, pairs.targets, weight).clamp(min=EPS)
        mean = zeros.index_add(0, pairs.targets, confidence * weight / total[pairs.targets]).clamp(max=1)
        return F.binary_cross_entropy(mean, torch.ones_like(mean), reduction="sum")

    def negative_loss(self, scores: Tensor, predicted: Tensor, boxes: Tensor, pairs: Pairs) -> Tensor:
        """Focal loss of all scores (A, C) as if nothing were there, less where boxes fit well; summed."""
        wrong = torch.ones_like(scores)
        if len(pairs.points):
            best = pairwise_iou(predicted, boxes).amax(1)[pairs.points]
            fit = by_range(1 / (1 - best).clamp(min=EPS), pairs.targets, len(boxes))
            place, row = last_of_each(pairs.points * scores.shape[1] + pairs.labels, scores.numel())
            wrong.view(-1)[place] = 1 - fit[row]
        weighted = scores * wrong
        loss = F.binary_cross_entropy(weighted, torch.zeros_like(weighted), reduction="none")
        return (weighted.square() * loss).sum()


def by_range(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Values (M,) from 0 for the least to 1 for the largest of their group (M,); 1 where they are all the same."""
    low = values.new_full((groups,), torch.inf).scatter_reduce(0, group, values, "amin")[group]
    high = values.new_full((groups,), -torch.inf).scatter_reduce(0, group, values, "amax")[group]
    return (values - low + EPS) / (high - low + EPS)
