"""Prime sample attention (https://arxiv.org/abs/1904.04821) in the second stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms

from ...ops.boxes import aligned_iou, pairwise_iou
from ...structures import ImageList, Instances
from ..box_coders import DeltaCoder
from ..losses import cross_entropy
from ..prime_samples import ImportanceWeights, ScoreWeights, rank_within
from ..regression import CodeRegression
from ..samplers import RandomSampler, all_of, draw
from .box_head import BoxOutputs, codes_of_labels
from .roi_head import RoIHead
from .sampling import SampledRegions, collect


@dataclass(frozen=True)
class ImportantNegatives:
    """The negatives that most look like objects, and how much they count, by their rank (Score-HLR, section 4.1).

    Args:
        power, bias: the weight is (bias + (1 - bias) w) ** power, w falling linearly with the rank.
        score_threshold: negatives with a class score above it are ranked; others fill up, drawn at random.
        iou_threshold: those that overlap so much are of one group, in which the best score is first.
    """

    power: float = 0.5
    bias: float = 0.0
    score_threshold: float = 0.05
    iou_threshold: float = 0.5

    @torch.no_grad()
    def __call__(self, boxes: Tensor, outputs: BoxOutputs, coder: DeltaCoder, count: int) -> tuple[Tensor, Tensor]:
        """Rows (K,) of at most `count` of the regions (N, 4) and their weights (K,).

        The weights leave the sum of the class losses as it is.
        """
        count = min(count, len(boxes))
        best, label = outputs.logits.softmax(-1)[:, :-1].max(-1)
        ranked, rest = all_of(best > self.score_threshold), all_of(best <= self.score_threshold)
        if len(ranked) == 0 or count == 0:
            return draw(rest, count), best.new_ones(count)
        found = coder.decode(boxes[ranked], codes_of_labels(outputs.codes[ranked], label[ranked]))
        order = self.order(found, best[ranked])[:count]
        rows = torch.cat([ranked[order], draw(rest, count - len(order))])
        # those drawn at random count as little as the last of the ranked
        rank = torch.arange(count, device=boxes.device).clamp(max=len(order) - 1)
        weight = 1 - rank / max(count, len(ranked))
        weight = (self.bias + (1 - self.bias) * weight) ** self.power
        background = torch.full_like(rows, outputs.logits.shape[1] - 1)
        loss = cross_entropy(outputs.logits[rows], background)
        return rows, weight * (loss.sum() / (loss * weight).sum())

    def order(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """Rows of boxes (N, 4), those first that are first in their group, of them by score."""
        first = nms(boxes, scores, self.iou_threshold)
        group = (pairwise_iou(boxes, boxes[first]) >= self.iou_threshold).to(torch.uint8).argmax(1)
        return (len(boxes) - rank_within(scores, group) + scores).argsort(descending=True)


@dataclass(frozen=True)
class PISABoxCriterion:
    """Weighted cross entropy of all sampled regions and a loss of the positive ones' codes, over the number sampled.

    The loss of the codes is taken again, weighted by the score of the class.

    Args:
        regression: loss of the codes.
        importance: weights of the positive regions' classes.
        carl: weights of the second loss of the codes.
    """

    regression: CodeRegression
    importance: ImportanceWeights = field(default_factory=ImportanceWeights)
    carl: ScoreWeights = field(default_factory=ScoreWeights)

    def __call__(
        self,
        outputs: BoxOutputs,
        sampled: Sequence[SampledRegions],
        coder: DeltaCoder,
        negative_weights: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """The losses by name; `negative_weights` are those of the negative regions of each image."""
        labels = torch.cat([part.labels for part in sampled])  # (S,)
        count = max(len(labels), 1)
        positive = labels < outputs.logits.shape[1] - 1
        boxes = torch.cat([part.boxes for part in sampled])[positive]
        targets = torch.cat([part.target_boxes for part in sampled])
        codes = codes_of_labels(outputs.codes[positive], labels[positive])
        each = cross_entropy(outputs.logits, labels)
        iou = aligned_iou(coder.decode(boxes, codes.detach()), targets)
        weight = torch.empty_like(each)
        weight[positive] = self.importance(iou, labels[positive], targets_of_batch(sampled), each.detach()[positive])
        weight[~positive] = torch.cat(list(negative_weights))
        box_loss = self.regression(coder, boxes, codes, targets)  # (S+,)
        scores = outputs.logits[positive].softmax(-1).gather(1, labels[positive][:, None])[:, 0]
        return {
            "loss_class": (each * weight).sum() / count,
            "loss_box": (box_loss.sum() + outputs.codes.sum() * 0) / count,
            "loss_carl": (box_loss * self.carl(scores)).sum() / count,
        }


def targets_of_batch(sampled: Sequence[SampledRegions]) -> Tensor:
    """The target (S+,) of each positive region, counted over the whole batch."""
    parts, start = [], 0
    for part in sampled:
        parts.append(part.matched + start)
        start += int(part.matched.max()) + 1 if len(part.matched) else 0
    return torch.cat(parts)


class PISARoIHead(RoIHead):
    """As `RoIHead`; which negative regions it learns from depends on what it thinks of them.

    Args:
        negatives: chooses them.
        sampler: its `RandomSampler` says how many regions there are, and draws the positive ones.
        criterion: of the sampled regions and the weights of the negative ones.
        options: as of `RoIHead`.
    """

    criterion: PISABoxCriterion  # type: ignore[assignment]

    def __init__(self, *, negatives: ImportantNegatives, **options: Any) -> None:
        super().__init__(**options)
        self.negatives = negatives

    def loss(
        self,
        features: Sequence[Tensor],
        images: ImageList,
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        parts = [
            self.sample([f[i : i + 1] for f in features], p, t) for i, (p, t) in enumerate(zip(proposals, targets))
        ]
        sampled, weights = [part for part, _ in parts], [weight for _, weight in parts]
        outputs = self.box_head(self.extractor(features, [part.boxes for part in sampled]))
        losses = self.criterion(outputs, sampled, self.coder, weights)
        if self.mask is not None:
            losses |= self.mask.loss(features, sampled, targets)
        return losses

    @torch.no_grad()
    def sample(
        self, features: Sequence[Tensor], proposals: Instances, targets: Instances
    ) -> tuple[SampledRegions, Tensor]:
        """The regions of one image to learn from, and the weights of the negative ones."""
        candidates, wanted = self.sampler.candidates(proposals, targets), self.sampler.sampler
        assert isinstance(wanted, RandomSampler)
        positives = draw(all_of(candidates.assigned >= 0), int(wanted.count * wanted.positive_fraction))
        negatives = all_of(candidates.assigned == -1)
        boxes = candidates.boxes[negatives]
        outputs = self.box_head(self.extractor(features, [boxes]))
        rows, weights = self.negatives(boxes, outputs, self.coder, wanted.count - len(positives))
        return collect(candidates, positives, negatives[rows], targets, self.box_head.classes), weights
