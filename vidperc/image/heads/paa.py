"""PAA (https://arxiv.org/abs/2007.08103): positives by the probability of being one, boxes that vote.

The network is ATSS's, whose quality is the IoU here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...ops.boxes import aligned_iou, pairwise_iou
from ...structures import ImageList, Instances
from ..assigners import BACKGROUND, Assigner
from ..box_coders import DeltaCoder
from ..losses import binary_cross_entropy, giou_loss, sigmoid_focal_loss
from ..postprocess import multiclass_nms
from .dense import DenseOutputs
from .dense_postprocess import DensePostprocessor, clip, rescale
from .matching import Matches, match, mean_over_processes


class PAACriterion:
    """Focal loss of all anchors; of those that are probably positive GIoU weighted by IoU, and the IoU itself.

    Args:
        assigner: candidates, generously.
        coder: of the boxes.
        nearest: best candidates of each target and level that the probabilities are fitted to.
        box_weight, quality_weight: of the losses.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        coder: DeltaCoder,
        nearest: int = 9,
        box_weight: float = 1.3,
        quality_weight: float = 0.5,
    ) -> None:
        self.assigner, self.coder, self.nearest = assigner, coder, nearest
        self.box_weight, self.quality_weight = box_weight, quality_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        assert outputs.quality is not None
        matches = match(self.assigner, outputs, images, targets)
        logits, codes = outputs.logits.flatten(0, 1), outputs.codes.flatten(0, 1)
        chosen = self.probable(matches, outputs, logits, codes)
        labels = matches.labels.clone()
        labels[matches.rows[~chosen]] = BACKGROUND
        rows, boxes = matches.rows[chosen], matches.boxes[chosen]
        positives = mean_over_processes(len(rows), logits)
        classification = matches.counted(sigmoid_focal_loss(logits, labels))
        predicted = self.coder.decode(matches.priors[chosen], codes[rows])
        iou = aligned_iou(predicted.detach(), boxes)
        quality = binary_cross_entropy(outputs.quality.flatten()[rows], iou)
        weight = mean_over_processes(iou.sum(), iou, least=1e-12)
        return {
            "loss_class": classification / positives.clamp(min=len(targets)),
            "loss_box": self.box_weight * (giou_loss(predicted, boxes) * iou).sum() / weight,
            "loss_iou": self.quality_weight * quality.sum() / positives,
        }

    @torch.no_grad()
    def probable(self, matches: Matches, outputs: DenseOutputs, logits: Tensor, codes: Tensor) -> Tensor:
        """Which of the P candidates learn their target, (P,) bool (section 3.2 of the paper)."""
        loss = sigmoid_focal_loss(logits[matches.rows], matches.positive_labels).sum(1)
        boxes = self.coder.decode(matches.priors, codes[matches.rows])
        loss = loss + self.box_weight * giou_loss(boxes, matches.boxes)
        ends = torch.tensor(outputs.level_sizes, device=loss.device).cumsum(0)
        level = torch.bucketize(matches.rows % len(outputs.priors), ends, right=True)
        row = best_of_groups(loss, matches.targets * len(ends) + level, self.nearest)
        chosen = torch.zeros_like(loss, dtype=torch.bool)
        chosen[row] = likely_positive(loss[row], matches.targets[row])
        return chosen


def best_of_groups(loss: Tensor, group: Tensor, best: int) -> Tensor:
    """Indices of the `best` lowest losses (P,) of every group (P,), by group and then by loss."""
    order = loss.argsort()
    order = order[group[order].argsort(stable=True)]
    _, inverse, counts = group[order].unique_consecutive(return_inverse=True, return_counts=True)
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(order), device=loss.device) - starts[inverse]
    return order[rank < best]


def likely_positive(loss: Tensor, target: Tensor) -> Tensor:
    """Which candidates (P,) belong to the better of two Gaussians fitted to the losses of their target.

    Of that Gaussian those up to its most likely member count (as the authors', without ignored ones).
    A target's only candidate is positive.
    """
    if len(loss) == 0:
        return torch.zeros_like(loss, dtype=torch.bool)
    order = loss.argsort()
    order = order[target[order].argsort(stable=True)]
    _, group, counts = target[order].unique_consecutive(return_inverse=True, return_counts=True)
    column = torch.arange(len(order), device=loss.device) - (counts.cumsum(0) - counts)[group]
    values = loss.new_zeros(len(counts), int(counts.max()))
    valid = torch.zeros_like(values, dtype=torch.bool)
    values[group, column], valid[group, column] = loss[order], True
    log_likelihood = fit_two_gaussians(values, valid)  # (G, K, 2)
    member = valid & (log_likelihood[..., 0] >= log_likelihood[..., 1])
    total = log_likelihood.logsumexp(-1).masked_fill(~member, -torch.inf)
    positive = member & (torch.arange(values.shape[1], device=loss.device) <= total.argmax(1)[:, None])
    positive |= valid & (counts == 1)[:, None]
    out = torch.zeros_like(loss, dtype=torch.bool)
    out[order] = positive[group, column]
    return out


def fit_two_gaussians(values: Tensor, valid: Tensor, steps: int = 100, tolerance: float = 1e-3) -> Tensor:
    """Expectation maximisation of two one-dimensional Gaussians in each row, from its least and largest value.

    Args:
        values: (G, K), of which those `valid` (G, K) count, at least one per row.
        tolerance: a row is done when its mean log likelihood changes by less.

    Returns:
        Weighted log likelihood under either Gaussian, (G, K, 2).
    """
    low = values.masked_fill(~valid, torch.inf).amin(1)
    high = values.masked_fill(~valid, -torch.inf).amax(1)
    mean, count = torch.stack((low, high), dim=-1), valid.sum(1)
    variance, weight = torch.ones_like(mean), torch.full_like(mean, 0.5)
    previous = torch.full_like(low, -torch.inf)
    active = torch.ones_like(low, dtype=torch.bool)
    for _ in range(steps):
        likelihood = _log_likelihood(values, mean, variance, weight)
        total = likelihood.logsumexp(-1)
        share = (likelihood - total[..., None]).exp() * valid[..., None]  # (G, K, 2)
        mass = share.sum(1) + 1e-6
        new_mean = (share * values[..., None]).sum(1) / mass
        new_variance = (share * (values[..., None] - new_mean[:, None]).square()).sum(1) / mass + 1e-6
        mean = torch.where(active[:, None], new_mean, mean)
        variance = torch.where(active[:, None], new_variance, variance)
        weight = torch.where(active[:, None], mass / mass.sum(1, keepdim=True), weight)
        bound = (total * valid).sum(1) / count
        active = active & ((bound - previous).abs() >= tolerance)
        previous = bound
        if not bool(active.any()):
            break
    return _log_likelihood(values, mean, variance, weight)


def _log_likelihood(values: Tensor, mean: Tensor, variance: Tensor, weight: Tensor) -> Tensor:
    """(G, K) under Gaussians (G, 2), without the constant: (G, K, 2)."""
    distance = (values[..., None] - mean[:, None]).square() / variance[:, None]
    return weight.log()[:, None] - 0.5 * (distance + variance.log()[:, None])


class PAAPostprocessor(DensePostprocessor):
    """The score is the geometric mean of class score and IoU, and boxes are averaged with those they suppress."""

    def __call__(self, outputs: DenseOutputs, images: ImageList) -> list[Instances]:
        assert outputs.quality is not None
        best = outputs.logits.amax(-1).sigmoid() * outputs.quality.sigmoid()  # (B, A)
        starts = torch.tensor(outputs.level_sizes).cumsum(0) - torch.tensor(outputs.level_sizes)
        row = torch.cat(
            [
                level.topk(min(self.pre_nms, level.shape[1])).indices + int(start)
                for level, start in zip(best.split(outputs.level_sizes, dim=1), starts)
            ],
            dim=1,
        )  # (B, K)
        image = torch.arange(len(row), device=row.device)[:, None].expand_as(row)
        boxes = self.coder.decode(outputs.priors[row], outputs.codes[image, row])
        boxes = clip(boxes, image, images, self.coder.margin)
        boxes = rescale(boxes, image, images)
        scores = outputs.logits[image, row].sigmoid() * outputs.quality[image, row].sigmoid()[..., None]
        return [self.vote(*each) for each in zip(boxes, scores.sqrt())]

    def vote(self, boxes: Tensor, scores: Tensor) -> Instances:
        """The detections of boxes (K, 4) with scores (K, C)."""
        found = multiclass_nms(
            boxes,
            scores,
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            max_detections=self.max_detections,
        )
        return found.replace(boxes=voted_boxes(found, boxes, scores, self.score_threshold))


def voted_boxes(
    found: Instances, boxes: Tensor, scores: Tensor, score_threshold: float, width: float = 0.025
) -> Tensor:
    """Boxes of detections, each the mean of the candidates of its class around it, by score and IoU.

    Args:
        found: the detections.
        boxes, scores: candidates (K, 4) and their scores (K, C), those above the threshold vote.
        width: of the Gaussian of 1 - IoU.
    """
    assert found.labels is not None
    voted = found.boxes.clone()
    for label in found.labels.unique().tolist():
        member = (found.labels == label).nonzero()[:, 0]
        voter = (scores[:, label] > score_threshold).nonzero()[:, 0]
        iou = pairwise_iou(found.boxes[member], boxes[voter])
        weight = torch.exp(-((1 - iou) ** 2) / width) * scores[voter, label] * (iou > 0.01)
        total = weight.sum(1, keepdim=True)
        # a box without area overlaps nothing, not even itself
        voted[member] = torch.where(total > 0, weight @ boxes[voter] / total, voted[member])
    return voted
