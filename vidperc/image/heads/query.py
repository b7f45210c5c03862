"""The flow of query heads: a fixed set of queries, each one object or none, told apart by matching alone.

After DETR (https://arxiv.org/abs/2005.12872): every decoder layer predicts for all queries, each layer's
predictions are matched with the targets one to one, and nothing is suppressed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert, generalized_box_iou

from ...structures import ImageList, Instances
from ..assigners import BACKGROUND
from ..assigners.common import learnable
from ..losses import cross_entropy, giou_loss, l1_loss, sigmoid_focal_loss
from .dense import full_precision
from .matching import mean_over_processes, require_labels


@dataclass(slots=True)
class QueryOutputs:
    """What L layers say of Q queries of B images, in float32."""

    logits: Tensor  # (L, B, Q, C)
    boxes: Tensor  # (L, B, Q, 4) xyxy in parts of the unpadded image
    proposals: QueryOutputs | None = None  # from which the queries were chosen; class 0 is any object


class QueryHead(nn.Module):
    """A network of queries, the loss it is trained with and the decision made from it.

    Args:
        predictor: (feature maps, images) to `QueryOutputs`.
        criterion: (outputs, images, targets) to losses by name.
        postprocessor: (outputs, images) to detections in pixels of the original images.
    """

    def __init__(
        self,
        *,
        predictor: nn.Module,
        criterion: Callable[[QueryOutputs, ImageList, list[Instances]], dict[str, Tensor]],
        postprocessor: Callable[[QueryOutputs, ImageList], list[Instances]],
    ) -> None:
        super().__init__()
        self.predictor, self.criterion, self.postprocessor = predictor, criterion, postprocessor

    def detect(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        """The objects of each image, in pixels of the original."""
        outputs = self.predictor(features, images)
        with full_precision(outputs.logits):
            return self.postprocessor(outputs, images)

    def loss(self, features: list[Tensor], images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        """Training losses by name; targets are in pixels of the batch."""
        outputs = self.predictor(features, images)
        with full_precision(outputs.logits):
            return self.criterion(outputs, images, targets)


class Classification(Protocol):
    """How logits stand for classes."""

    def cost(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits (Q, C) and labels (N,) to what it costs that a query has a label, (Q, N)."""

    def loss(self, logits: Tensor, labels: Tensor, positives: Tensor) -> Tensor:
        """Of logits (L, N, C) and labels (L, N), `BACKGROUND` for no object, one value per layer, (L,)."""


class SoftmaxClasses:
    """Exclusive classes, the last of which is no object (DETR, section 3.1).

    Args:
        background: weight of queries without an object.
    """

    def __init__(self, background: float = 0.1) -> None:
        self.background = background

    def cost(self, logits: Tensor, labels: Tensor) -> Tensor:
        return -logits.softmax(-1)[:, labels]

    def loss(self, logits: Tensor, labels: Tensor, positives: Tensor) -> Tensor:
        empty = labels == BACKGROUND
        weight = torch.where(empty, self.background, 1.0)
        loss = cross_entropy(logits.flatten(0, 1), labels.where(~empty, logits.shape[-1] - 1).flatten())
        return (loss.view_as(weight) * weight).sum(1) / weight.sum(1)


class SigmoidClasses:
    """Independent classes, learned by the focal loss (Deformable DETR, https://arxiv.org/abs/2010.04159)."""

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        self.alpha, self.gamma = alpha, gamma

    def cost(self, logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits[:, labels]
        scores = logits.sigmoid()
        present = -self.alpha * (1 - scores) ** self.gamma * F.logsigmoid(logits)
        absent = -(1 - self.alpha) * scores**self.gamma * F.logsigmoid(-logits)
        return present - absent

    def loss(self, logits: Tensor, labels: Tensor, positives: Tensor) -> Tensor:
        loss = sigmoid_focal_loss(logits.flatten(0, 1), labels.flatten(), self.alpha, self.gamma)
        return loss.view(len(logits), -1).sum(1) / positives


@dataclass(frozen=True)
class QueryWeights:
    """Of what the matching minimises, or of the losses."""

    classes: float = 2.0
    boxes: float = 5.0
    giou: float = 2.0


def centre_form(boxes: Tensor) -> Tensor:
    """xyxy to cx cy w h, (..., 4)."""
    return box_convert(boxes, "xyxy", "cxcywh")


def corner_form(boxes: Tensor) -> Tensor:
    """xyxy as it is, (..., 4)."""
    return boxes


class HungarianMatcher:
    """The one-to-one assignment of targets to queries that costs least, class and box together (DETR, eq. 1).

    Args:
        classification: gives the cost of the classes.
        weights: of the costs.
        coordinates: xyxy to those whose absolute difference is taken.
    """

    def __init__(
        self,
        classification: Classification,
        weights: QueryWeights = QueryWeights(),
        coordinates: Callable[[Tensor], Tensor] = centre_form,
    ) -> None:
        self.classification, self.weights, self.coordinates = classification, weights, coordinates

    @torch.no_grad()
    def __call__(self, logits: Tensor, boxes: Tensor, wanted: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Match the targets of one image with the queries of each layer.

        Args:
            logits, boxes: (L, Q, C) and (L, Q, 4).
            wanted, labels: boxes (N, 4) and labels (N,) of the targets, boxes as those of the queries.

        Returns:
            Queries and targets (L, min(Q, N)) that belong together.
        """
        layers, queries = logits.shape[:2]
        found = boxes.flatten(0, 1)
        cost = (
            self.weights.classes * self.classification.cost(logits.flatten(0, 1), labels)
            + self.weights.boxes * torch.cdist(self.coordinates(found), self.coordinates(wanted), p=1)
            - self.weights.giou * generalized_box_iou(found, wanted)
        )
        # A diverged network or two boxes without area: not a number, which no one shall be matched by.
        table = np.nan_to_num(cost.cpu().numpy(), nan=1e6, posinf=1e6, neginf=-1e6).reshape(layers, queries, -1)
        pairs = np.array([linear_sum_assignment(layer) for layer in table], dtype=np.int64)  # (L, 2, N)
        both = torch.from_numpy(pairs).to(logits.device)
        return both[:, 0], both[:, 1]


class QueryCriterion:
    """After every layer a class loss of all queries, L1 and GIoU losses of the matched ones.

    Losses of the layers but the last end in `_0`, `_1` ..., those of the proposals in `_proposals`.

    Args:
        classification: gives the class loss.
        matcher: which query learns which target.
        weights: of the losses.
    """

    def __init__(
        self, classification: Classification, matcher: HungarianMatcher, weights: QueryWeights = QueryWeights()
    ) -> None:
        self.classification, self.matcher, self.weights = classification, matcher, weights

    def __call__(self, outputs: QueryOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        boxes, labels = [], []
        for target, (height, width) in zip(targets, images.sizes):
            kept, index = learnable(target)
            boxes.append(kept.float() / kept.new_tensor([width, height, width, height]))
            labels.append(require_labels(target)[index])
        losses: dict[str, Tensor] = {}
        last = len(outputs.logits) - 1
        for name, values in self._losses(outputs, boxes, labels).items():
            losses |= {name + ("" if i == last else f"_{i}"): value for i, value in enumerate(values)}
        if outputs.proposals is not None:
            objects = [torch.zeros_like(part) for part in labels]
            proposed = self._losses(outputs.proposals, boxes, objects)
            losses |= {f"{name}_proposals": values.sum() for name, values in proposed.items()}
        return losses

    def _losses(self, outputs: QueryOutputs, boxes: list[Tensor], labels: list[Tensor]) -> dict[str, Tensor]:
        """By name, of every layer (L,)."""
        logits = outputs.logits
        wanted = torch.full(logits.shape[:3], BACKGROUND, device=logits.device)
        found, truth = [], []
        for i, target in enumerate(zip(boxes, labels)):
            query, row = self.matcher(logits[:, i], outputs.boxes[:, i], *target)  # (L, N)
            wanted[:, i].scatter_(1, query, labels[i][row])
            found.append(outputs.boxes[:, i].gather(1, query[..., None].expand(-1, -1, 4)))
            truth.append(boxes[i][row])
        prediction, target_boxes = torch.cat(found, 1), torch.cat(truth, 1)  # (L, P, 4)
        positives = mean_over_processes(prediction.shape[1], logits)
        form = self.matcher.coordinates
        difference = l1_loss(form(prediction), form(target_boxes)).sum((1, 2))
        overlap = giou_loss(prediction.flatten(0, 1), target_boxes.flatten(0, 1)).view(len(logits), -1).sum(1)
        return {
            "loss_class": self.weights.classes
            * self.classification.loss(logits.flatten(1, 2), wanted.flatten(1), positives),
            "loss_box": self.weights.boxes * difference / positives,
            "loss_giou": self.weights.giou * overlap / positives,
        }


def best_queries(logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, Q, C + 1) by softmax: score, label and query of the `count` best queries, (B, K), best first."""
    scores, labels = logits.softmax(-1)[..., :-1].max(-1)
    scores, query = scores.topk(min(count, scores.shape[1]))
    return scores, labels.gather(1, query), query


def best_pairs(logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, Q, C) by sigmoid: score, label and query of the `count` best pairs of query and class, (B, K)."""
    flat = logits.flatten(1)
    best, pair = flat.topk(min(count, flat.shape[1]))
    classes = logits.shape[-1]
    return best.sigmoid(), pair % classes, torch.div(pair, classes, rounding_mode="floor")


class QueryPostprocessor:
    """The best of the last layer, without any suppression.

    Args:
        select: (logits, count) to the score, label and query of the best, as `best_pairs` and `best_queries`.
        max_detections: of each image.
        score_threshold: scores are at least this.
        margin: how far boxes may reach out of the image, in its sides.
    """

    def __init__(
        self,
        *,
        select: Callable[[Tensor, int], tuple[Tensor, Tensor, Tensor]] = best_pairs,
        max_detections: int = 100,
        score_threshold: float = 0.0,
        margin: float = 0.0,
    ) -> None:
        self.select, self.max_detections = select, max_detections
        self.score_threshold, self.margin = score_threshold, margin

    def __call__(self, outputs: QueryOutputs, images: ImageList) -> list[Instances]:
        scores, labels, query = self.select(outputs.logits[-1], self.max_detections)
        boxes = outputs.boxes[-1].gather(1, query[..., None].expand(-1, -1, 4)).clamp(-self.margin, 1 + self.margin)
        sizes = boxes.new_tensor([(w, h, w, h) for h, w in images.sizes])[:, None]
        scales = boxes.new_tensor([(x, y, x, y) for x, y in images.scales])[:, None]
        boxes = boxes * sizes / scales
        keep = scores >= self.score_threshold
        return [
            Instances(boxes=b[k], labels=part[k], scores=s[k]) for b, part, s, k in zip(boxes, labels, scores, keep)
        ]


def padding_masks(images: ImageList, shapes: list[tuple[int, int]]) -> list[Tensor]:
    """For maps of (height, width) `shapes`, which pixels lie in the padding of the batch, (B, H, W) bool each."""
    device = images.tensor.device
    outside = []
    for axis, length in enumerate(images.padded_size):
        ends = torch.tensor([size[axis] for size in images.sizes], device=device)
        outside.append((torch.arange(length, device=device) >= ends[:, None]).float()[:, None])  # (B, 1, length)
    masks = []
    for height, width in shapes:
        rows, columns = (F.interpolate(x, size)[:, 0] > 0 for x, size in zip(outside, (height, width)))
        masks.append(rows[:, :, None] | columns[:, None])
    return masks


def is_padded(images: ImageList) -> bool:
    """Whether any image is smaller than the batch."""
    return any(tuple(size) != images.padded_size for size in images.sizes)
