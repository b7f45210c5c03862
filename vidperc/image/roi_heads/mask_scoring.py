"""Mask Scoring R-CNN (https://arxiv.org/abs/1903.00241): masks are ranked by how well they should fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import init_kaiming
from ...structures import ImageList, Instances
from ..losses.regression import mse_loss
from .mask import (
    MaskBranch,
    batch_boxes,
    labels_of,
    mask_loss,
    mask_targets,
    masks_of,
    positives_of,
    with_masks,
)
from .sampling import SampledRegions

CERTAIN = 0.5  # logit above which a pixel counts as predicted when the IoU to be learnt is measured, as published


class MaskIoUHead(nn.Module):
    """From a region's features and its predicted mask to the IoU of that mask, for every class (section 3.3).

    Args:
        in_channels, roi_size: of the regions' features; the mask has twice the size.
        convs, fcs: how many layers; the last convolution halves the size.
    """

    def __init__(
        self,
        in_channels: int = 256,
        *,
        classes: int = 80,
        roi_size: int = 14,
        channels: int = 256,
        hidden: int = 1024,
        convs: int = 4,
        fcs: int = 2,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels if i else in_channels + 1, channels, 3, stride=2 if i == convs - 1 else 1, padding=1)
            for i in range(convs)
        )
        features = channels * ((roi_size + 1) // 2) ** 2
        self.fcs = nn.ModuleList(nn.Linear(hidden if i else features, hidden) for i in range(fcs))
        self.fc_mask_iou = nn.Linear(hidden, classes)
        init_kaiming(self)
        for layer in self.fcs:
            nn.init.kaiming_uniform_(layer.weight, a=1, nonlinearity="leaky_relu")  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.fc_mask_iou.weight, std=0.01)
        nn.init.zeros_(self.fc_mask_iou.bias)

    def forward(self, regions: Tensor, masks: Tensor, labels: Tensor) -> Tensor:
        """IoUs (P,) of masks (P, 2 S, 2 S), logits of the regions' classes (P,), on regions (P, D, S, S)."""
        pooled = F.max_pool2d(masks.sigmoid()[:, None], 2)
        x = torch.cat([regions, pooled.to(regions.dtype)], dim=1)
        for conv in self.convs:
            x = F.relu(conv(x), inplace=True)
        x = x.flatten(1)
        for layer in self.fcs:
            x = F.relu(layer(x), inplace=True)
        rows = torch.arange(len(labels), device=labels.device)
        return self.fc_mask_iou(x).float()[rows, labels]  # type: ignore[no-any-return]


class MaskScoringBranch(MaskBranch):
    """A mask for every detection, scored by that of its class times the expected IoU.

    Args:
        iou_head: tells the IoU.
        iou_weight: of its loss, the mean squared error.
        options: as `MaskBranch`, with one head.
    """

    def __init__(self, *, iou_head: MaskIoUHead, iou_weight: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.iou_head, self.iou_weight = iou_head, iou_weight

    def detect(self, features: Sequence[Tensor], images: ImageList, detections: Sequence[Instances]) -> list[Instances]:
        """The detections with masks of the original pictures' sizes, and `mask_scores`."""
        labels = labels_of(detections)
        regions = self.extractor(features, batch_boxes(detections, images))
        logits = self.logits(regions, labels, 0)
        ious = self.iou_head(regions, logits, labels).split([len(part) for part in detections])
        found = with_masks(detections, logits.sigmoid(), images, self.threshold)
        return [part.replace(mask_scores=part.scores * iou) for part, iou in zip(found, ious)]

    def loss(
        self,
        features: Sequence[Tensor],
        sampled: Sequence[SampledRegions],
        targets: Sequence[Instances],
        stage: int = 0,
    ) -> dict[str, Tensor]:
        boxes, labels = positives_of(sampled)
        regions = self.extractor(features, boxes)
        logits = self.logits(regions, labels, stage)
        truth = mask_targets(sampled, targets, logits.shape[-1])
        ious = self.iou_head(regions, logits, labels)
        wanted = iou_targets(logits.detach(), truth, inside_shares(sampled, targets))
        learnt = wanted > 0
        iou_loss = (mse_loss(ious, wanted) * learnt).sum() / learnt.sum().clamp(min=1)
        return {"loss_mask": mask_loss(logits, truth), "loss_mask_iou": self.iou_weight * iou_loss}


def iou_targets(logits: Tensor, truth: Tensor, shares: Tensor) -> Tensor:
    """IoU (P,) of predicted masks (P, M, M) with whole objects.

    Args:
        truth: (P, M, M) of 0 and 1, the objects within the regions.
        shares: (P,) of each object that lies within its region.
    """
    predicted = (logits > CERTAIN).to(truth.dtype)
    shared = (predicted * truth).sum((1, 2))
    whole = truth.sum((1, 2)) / (shares + 1e-7)
    union = predicted.sum((1, 2)) + whole - shared
    return torch.where(union > 0, shared / union, 0.0)


def inside_shares(sampled: Sequence[SampledRegions], targets: Sequence[Instances]) -> Tensor:
    """The share (P,) of each positive region's object whose pixels lie within the region."""
    return torch.cat([inside_shares_of(part, truth) for part, truth in zip(sampled, targets)])


def inside_shares_of(sampled: SampledRegions, targets: Instances) -> Tensor:
    """The same of one image; a region takes the pixels from its rounded-down corner on, at least one."""
    boxes, matched = sampled.boxes[: sampled.positives], sampled.matched
    if len(boxes) == 0:
        return boxes.new_zeros(0)
    masks = masks_of(targets)
    height, width = masks.shape[1:]
    # Pixels above and to the left of each pixel's upper left corner, by which a window's sum is four of them.
    sums = F.pad(masks.cumsum(1, dtype=torch.int32).cumsum(2, dtype=torch.int32), (1, 0, 1, 0))  # (N, H + 1, W + 1)
    x1, y1, x2, y2 = boxes.long().unbind(1)
    x1, y1 = x1.clamp(0, width), y1.clamp(0, height)
    x2, y2 = torch.maximum(x2, x1 + 1).clamp(max=width), torch.maximum(y2, y1 + 1).clamp(max=height)
    inside = sums[matched, y2, x2] - sums[matched, y1, x2] - sums[matched, y2, x1] + sums[matched, y1, x1]
    return inside / (sums[matched, -1, -1] + 1e-7)
