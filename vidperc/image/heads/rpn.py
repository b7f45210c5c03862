"""Region proposal network (https://arxiv.org/abs/1506.01497, section 3.1)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..box_coders import DeltaCoder
from ..losses.classification import binary_cross_entropy
from ..postprocess import class_nms
from ..priors import AnchorGenerator
from ..regression import Regression
from ..samplers import RandomSampler
from .matching import outside


class RPNOutputs(NamedTuple):
    """What the levels say of their A anchors."""

    logits: list[Tensor]  # (B, A) of being an object
    codes: list[Tensor]  # (B, A, 4)
    anchors: list[Tensor]  # (B, A, 4) what the codes are relative to
    grid: list[Tensor]  # (A, 4) where the anchors were made


class RPNPredictor(nn.Module):
    """A 3x3 convolution, then a score and a box for every anchor; the same on all levels."""

    def __init__(self, in_channels: int = 256, channels: int = 256, anchors: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.cls = nn.Conv2d(channels, anchors, 1)
        self.reg = nn.Conv2d(channels, anchors * 4, 1)
        for layer in (self.conv, self.cls, self.reg):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Logits (B, A) and codes (B, A, 4) of each level, location-major."""
        logits, codes = [], []
        for feature in features:
            x = F.relu(self.conv(feature), inplace=True)
            logits.append(self.cls(x).permute(0, 2, 3, 1).flatten(1).float())
            codes.append(self.reg(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4).float())
        return logits, codes


@dataclass(frozen=True)
class ProposalSelector:
    """From scored anchors to few regions.

    Args:
        pre_nms: so many of each level's best enter the suppression.
        post_nms: so many regions of an image come out.
        nms_threshold: overlap above which the worse of two regions of a level is dropped.
        min_size: regions with a side of at most this many pixels are dropped.
    """

    pre_nms: int = 1000
    post_nms: int = 1000
    nms_threshold: float = 0.7
    min_size: float = 0.0

    def __call__(self, outputs: RPNOutputs, images: ImageList, coder: DeltaCoder) -> list[Instances]:
        """Regions with scores of each image, best first, in pixels of the batch."""
        logits, codes, anchors, levels = [], [], [], []
        for level, (level_logits, level_codes, level_anchors) in enumerate(zip(*outputs[:3])):
            index = level_logits.topk(min(self.pre_nms, level_logits.shape[1]), dim=1, sorted=False)[1]  # (B, K)
            index = index.sort(1)[0]  # equal scores, frequent near 1, rank by place: the suppression's sort is stable
            rows = index[..., None].expand(-1, -1, 4)
            logits.append(level_logits.gather(1, index))
            codes.append(level_codes.gather(1, rows))
            anchors.append(level_anchors.gather(1, rows))
            levels.append(torch.full_like(index[0], level))
        scores = torch.cat(logits, 1).sigmoid()  # (B, P)
        all_codes, all_anchors, level_of = torch.cat(codes, 1), torch.cat(anchors, 1), torch.cat(levels)
        return [
            self._select(coder.decode(all_anchors[i], all_codes[i], size), scores[i], level_of)
            for i, size in enumerate(images.sizes)
        ]

    def _select(self, boxes: Tensor, scores: Tensor, levels: Tensor) -> Instances:
        fits = (boxes[:, 2:] - boxes[:, :2] > self.min_size).all(1)
        boxes, scores, levels = boxes[fits], scores[fits], levels[fits]
        keep = class_nms(boxes, scores, levels, self.nms_threshold)[: self.post_nms]
        return Instances(boxes=boxes[keep], scores=scores[keep])


@dataclass(frozen=True)
class RPNCriterion:
    """Sigmoid cross entropy of sampled anchors and a box loss of the positive ones, over the number sampled.

    No positive ones of an image count as one, as do no negative ones.

    Args:
        allowed_border: anchors that leave the image by this many pixels do not learn; None lets all learn
            that are centred on the image.
    """

    assigner: Assigner
    sampler: RandomSampler
    regression: Regression
    allowed_border: float | None = None

    def __call__(
        self, outputs: RPNOutputs, images: ImageList, targets: list[Instances], coder: DeltaCoder
    ) -> dict[str, Tensor]:
        logits, codes = torch.cat(outputs.logits, 1), torch.cat(outputs.codes, 1)  # (B, A), (B, A, 4)
        all_anchors, grid = torch.cat(outputs.anchors, 1), torch.cat(outputs.grid)  # (B, A, 4), (A, 4)
        count, class_loss, box_loss = 0, logits.sum() * 0, codes.sum() * 0
        for i, (anchors, target) in enumerate(zip(all_anchors, targets)):
            learning = self._learning(grid, images, i)
            assigned = self.assigner(anchors[learning], target)
            positives, negatives = self.sampler(assigned)
            matched = target.boxes[assigned[positives]]
            positives, negatives = learning[positives], learning[negatives]
            both = torch.cat([positives, negatives])
            truth = torch.zeros_like(logits[i, both])
            truth[: len(positives)] = 1
            class_loss = class_loss + binary_cross_entropy(logits[i, both], truth).sum()
            box_loss = box_loss + self.regression(coder, anchors[positives], codes[i, positives], matched).sum()
            count += max(len(positives), 1) + max(len(negatives), 1)
        return {"loss_rpn_class": class_loss / count, "loss_rpn_box": box_loss / count}

    def _learning(self, anchors: Tensor, images: ImageList, row: int) -> Tensor:
        """Indices of the anchors that may learn in the image at `row`."""
        learns = ~outside(anchors, images.padded_alone[row])
        if self.allowed_border is not None:
            height, width = images.sizes[row]
            end = anchors.new_tensor([width, height]) + self.allowed_border
            learns &= ((anchors[:, :2] >= -self.allowed_border) & (anchors[:, 2:] < end)).all(1)
        return learns.nonzero(as_tuple=True)[0]


class ProposalHead(nn.Module):
    """Class-agnostic regions from feature maps, in pixels of the batch."""

    @abstractmethod
    def propose(self, features: Sequence[Tensor], images: ImageList) -> list[Instances]:
        """Regions with scores of each image, best first."""

    @abstractmethod
    def loss(
        self, features: Sequence[Tensor], images: ImageList, targets: list[Instances]
    ) -> tuple[dict[str, Tensor], list[Instances]]:
        """The losses, and the regions that a second stage learns from."""


class RPNHead(ProposalHead):
    """Regions from anchors.

    Args:
        select: of regions at inference.
        select_training: of the regions that a second stage learns from; `select` where None.
    """

    def __init__(
        self,
        *,
        predictor: RPNPredictor,
        anchors: AnchorGenerator,
        coder: DeltaCoder,
        criterion: RPNCriterion,
        select: ProposalSelector,
        select_training: ProposalSelector | None = None,
    ) -> None:
        super().__init__()
        self.predictor, self.anchors, self.coder = predictor, anchors, coder
        self.criterion, self.select = criterion, select
        self.select_training = select_training or select

    def forward(self, features: Sequence[Tensor]) -> RPNOutputs:
        sizes = [(feature.shape[-2], feature.shape[-1]) for feature in features]
        logits, codes = self.predictor(features)
        grid = self.anchors(sizes, features[0].device)
        return RPNOutputs(logits, codes, [level.expand(len(features[0]), -1, -1) for level in grid], grid)

    def propose(self, features: Sequence[Tensor], images: ImageList) -> list[Instances]:
        return self.select(self(features), images, self.coder)

    def loss(
        self, features: Sequence[Tensor], images: ImageList, targets: list[Instances]
    ) -> tuple[dict[str, Tensor], list[Instances]]:
        outputs = self(features)
        losses = self.criterion(outputs, images, targets, self.coder)
        with torch.no_grad():
            proposals = self.select_training(outputs, images, self.coder)
        return losses, proposals
