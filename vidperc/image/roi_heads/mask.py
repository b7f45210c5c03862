"""Masks of detected objects (Mask R-CNN, https://arxiv.org/abs/1703.06870, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from ...layers.conv import ConvNorm, init_kaiming
from ...layers.norm import NormKind
from ...structures import ImageList, Instances
from ..losses.classification import binary_cross_entropy
from .extractor import RoIExtractor
from .paste import paste_masks
from .sampling import SampledRegions


class MaskHead(nn.Module):
    """Four convolutions, a doubling of the resolution, a mask for every class.

    Args:
        class_agnostic: one mask for all classes.
    """

    def __init__(
        self,
        in_channels: int = 256,
        *,
        classes: int = 80,
        convs: int = 4,
        channels: int = 256,
        norm: NormKind | None = None,
        class_agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            ConvNorm(channels if i else in_channels, channels, 3, padding=1, norm=norm) for i in range(convs)
        )
        self.upsample = nn.ConvTranspose2d(channels if convs else in_channels, channels, 2, 2)
        self.conv_logits = nn.Conv2d(channels, 1 if class_agnostic else classes, 1)
        init_kaiming(self)

    def convolved(self, regions: Tensor) -> Tensor:
        """Features (P, D, S, S) before the resolution is doubled."""
        for conv in self.convs:
            regions = conv(regions)
        return regions

    def logits(self, convolved: Tensor, labels: Tensor) -> Tensor:
        """Logits (P, M, M) of each region's class from what `convolved` gives; only that class is computed."""
        x = F.relu(self.upsample(convolved), inplace=True)
        weight, bias = self.conv_logits.weight.flatten(1), self.conv_logits.bias  # (C, D), (C,)
        labels = torch.zeros_like(labels) if len(weight) == 1 else labels
        logits = torch.einsum("pdhw,pd->phw", x, weight[labels].to(x.dtype))
        return logits.float() + bias[labels, None, None].float()  # type: ignore[index]

    def forward(self, regions: Tensor, labels: Tensor) -> Tensor:
        """Logits (P, M, M) of each region's class."""
        return self.logits(self.convolved(regions), labels)


class MaskBranch(nn.Module):
    """A mask for every detection.

    Args:
        heads: one, or those of a cascade's stages, whose scores are averaged at inference.
        threshold: a pixel is the object's where the score is at least this.
    """

    def __init__(self, *, extractor: RoIExtractor, heads: Sequence[MaskHead], threshold: float = 0.5) -> None:
        super().__init__()
        self.extractor, self.threshold = extractor, threshold
        self.heads = nn.ModuleList(heads)

    def detect(self, features: Sequence[Tensor], images: ImageList, detections: Sequence[Instances]) -> list[Instances]:
        """The detections with masks (N, H, W) of the original pictures' sizes."""
        return self.detect_in(self.extractor(features, batch_boxes(detections, images)), images, detections)

    def detect_in(self, regions: Tensor, images: ImageList, detections: Sequence[Instances]) -> list[Instances]:
        """As `detect`, from the features (P, D, S, S) of all images' detections in order."""
        return with_masks(detections, self.scores(regions, labels_of(detections)), images, self.threshold)

    def loss(
        self,
        features: Sequence[Tensor],
        sampled: Sequence[SampledRegions],
        targets: Sequence[Instances],
        stage: int = 0,
    ) -> dict[str, Tensor]:
        """Cross entropy of the masks of the positive regions, per pixel."""
        return self.loss_in(self.extractor(features, positives_of(sampled)[0]), sampled, targets, stage)

    def loss_in(
        self, regions: Tensor, sampled: Sequence[SampledRegions], targets: Sequence[Instances], stage: int = 0
    ) -> dict[str, Tensor]:
        """As `loss`, from the features (P, D, S, S) of all images' positive regions in order."""
        logits = self.logits(regions, positives_of(sampled)[1], stage)
        truth = mask_targets(sampled, targets, logits.shape[-1])
        return {"loss_mask": mask_loss(logits, truth) + self.heads[stage].conv_logits.weight.sum() * 0}  # type: ignore[operator,union-attr]

    def scores(self, regions: Tensor, labels: Tensor) -> Tensor:
        """Scores (P, M, M) of the class of each region (P, D, S, S)."""
        return torch.stack([head(regions, labels).sigmoid() for head in self.heads]).mean(0)

    def logits(self, regions: Tensor, labels: Tensor, stage: int) -> Tensor:
        """Logits (P, M, M) of the class of each region by the head of one stage."""
        return self.heads[stage](regions, labels)  # type: ignore[no-any-return]


def batch_boxes(detections: Sequence[Instances], images: ImageList) -> list[Tensor]:
    """The boxes of detections in pixels of the batch."""
    return [part.boxes * part.boxes.new_tensor(images.scales[i] * 2) for i, part in enumerate(detections)]


def labels_of(detections: Sequence[Instances]) -> Tensor:
    """The labels (P,) of all images' detections in order."""
    return torch.cat([part.labels for part in detections])  # type: ignore[misc]


def with_masks(detections: Sequence[Instances], scores: Tensor, images: ImageList, threshold: float) -> list[Instances]:
    """The detections with their mask scores (P, M, M) drawn into the original pictures."""
    parts = scores.split([len(part) for part in detections])
    return [
        part.replace(masks=paste_masks(parts[i], part.boxes, images.original_sizes[i], threshold))
        for i, part in enumerate(detections)
    ]


def positives_of(sampled: Sequence[SampledRegions]) -> tuple[list[Tensor], Tensor]:
    """The boxes of the positive regions by image, and the labels of all of them."""
    boxes = [part.boxes[: part.positives] for part in sampled]
    return boxes, torch.cat([part.labels[: part.positives] for part in sampled])


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """The mean cross entropy of logits of any shape with a truth between 0 and 1; 0 of none."""
    return binary_cross_entropy(logits, truth).sum() / max(truth.numel(), 1)


def mask_targets(sampled: Sequence[SampledRegions], targets: Sequence[Instances], size: int) -> Tensor:
    """The targets' masks within the positive regions of all images, (P, size, size) of 0 and 1."""
    return torch.cat([mask_targets_of(part, truth, size) for part, truth in zip(sampled, targets)])


def mask_targets_of(sampled: SampledRegions, targets: Instances, size: int) -> Tensor:
    """The same of one image, (S+, size, size)."""
    boxes = sampled.boxes[: sampled.positives]
    if len(boxes) == 0:
        return boxes.new_zeros(0, size, size)
    masks = masks_of(targets).to(boxes.dtype)[:, None]
    rois = torch.cat([sampled.matched[:, None].to(boxes.dtype), boxes], dim=1)
    return (roi_align(masks, rois, size, 1.0, 0, aligned=True)[:, 0] >= 0.5).to(boxes.dtype)


def masks_of(targets: Instances) -> Tensor:
    """The masks (N, H, W) of targets, which must have some."""
    if targets.masks is None:
        raise ValueError("targets have boxes but no masks to learn")
    return targets.masks
