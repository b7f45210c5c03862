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
from .extractor import RoIExtractor, to_rois
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
        boxes = [part.boxes * part.boxes.new_tensor(images.scales[i] * 2) for i, part in enumerate(detections)]
        labels = torch.cat([part.labels for part in detections])  # type: ignore[misc]
        scores = self.scores(self.extractor(features, boxes), labels)  # (P, M, M)
        parts = scores.split([len(part) for part in detections])
        return [
            part.replace(masks=paste_masks(parts[i], part.boxes, images.original_sizes[i], self.threshold))
            for i, part in enumerate(detections)
        ]

    def loss(
        self,
        features: Sequence[Tensor],
        sampled: Sequence[SampledRegions],
        targets: Sequence[Instances],
        stage: int = 0,
    ) -> dict[str, Tensor]:
        """Cross entropy of the masks of the positive regions, per pixel."""
        boxes = [part.boxes[: part.positives] for part in sampled]
        labels = torch.cat([part.labels[: part.positives] for part in sampled])
        logits = self.logits(self.extractor(features, boxes), labels, stage)
        truth = torch.cat([mask_targets(p, b, t, logits.shape[-1]) for p, b, t in zip(sampled, boxes, targets)])
        loss = binary_cross_entropy(logits, truth).sum() / max(truth.numel(), 1)
        return {"loss_mask": loss + self.heads[stage].conv_logits.weight.sum() * 0}  # type: ignore[operator,union-attr]

    def scores(self, regions: Tensor, labels: Tensor) -> Tensor:
        """Scores (P, M, M) of the class of each region (P, D, S, S)."""
        return torch.stack([head(regions, labels).sigmoid() for head in self.heads]).mean(0)

    def logits(self, regions: Tensor, labels: Tensor, stage: int) -> Tensor:
        """Logits (P, M, M) of the class of each region by the head of one stage."""
        return self.heads[stage](regions, labels)  # type: ignore[no-any-return]


def mask_targets(sampled: SampledRegions, boxes: Tensor, targets: Instances, size: int) -> Tensor:
    """The targets' masks within the positive regions, (S+, size, size) of 0 and 1."""
    if len(boxes) == 0:
        return boxes.new_zeros(0, size, size)
    if targets.masks is None:
        raise ValueError("targets have boxes but no masks to learn")
    masks = targets.masks[sampled.matched].to(boxes.dtype)[:, None]
    rois = to_rois([box[None] for box in boxes])
    return (roi_align(masks, rois, size, 1.0, 0, aligned=True)[:, 0] >= 0.5).to(boxes.dtype)
