"""SCNet (https://arxiv.org/abs/2012.10150): the samples that masks learn from and see at inference are alike.

One mask head follows the last box stage and takes over what it saw; all regions know the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...structures import ImageList, Instances
from ..losses.classification import binary_cross_entropy
from ..semantic import SemanticHead
from .box_head import BoxHead
from .cascade import CascadeRoIHead, next_proposals
from .htc import SemanticRoIExtractor
from .mask import MaskBranch, MaskHead, batch_boxes, positives_of


class ResidualBlock(nn.Module):
    """Two convolutions beside the identity, a ReLU between them and none at the end."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class ResidualMaskHead(MaskHead):
    """A mask head of residual blocks."""

    def __init__(self, channels: int = 256, *, blocks: int = 6, **options: Any) -> None:
        super().__init__(channels, channels=channels, convs=0, **options)
        self.convs = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))


class ResidualSemanticHead(SemanticHead):
    """A semantic head of residual blocks."""

    def __init__(self, channels: int = 256, *, blocks: int = 2, **options: Any) -> None:
        super().__init__(channels, channels=channels, convs=0, **options)
        self.convs = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))


class GlobalContextHead(nn.Module):
    """The mean of the coarsest map as the picture's context, from which it tells the classes there are.

    Args:
        weight: of the loss.
    """

    def __init__(self, channels: int = 256, *, classes: int = 80, blocks: int = 2, weight: float = 3.0) -> None:
        super().__init__()
        self.weight = weight
        self.convs = nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks)))
        self.fc = nn.Linear(channels, classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, coarsest: Tensor) -> Tensor:
        """The context (B, D, 1, 1) of a map (B, D, H, W)."""
        return self.convs(coarsest).mean((2, 3), keepdim=True)  # type: ignore[no-any-return]

    def loss(self, context: Tensor, targets: Sequence[Instances]) -> Tensor:
        """Cross entropy of whether each class is in the picture, the mean over pictures and classes."""
        logits = self.fc(context.flatten(1)).float()
        present = torch.zeros_like(logits)
        for row, target in zip(present, targets):
            if target.labels is None:
                raise ValueError("targets have boxes but no labels to learn")
            row[target.labels if target.ignored is None else target.labels[~target.ignored]] = 1
        return self.weight * binary_cross_entropy(logits, present).mean()


class RelayHead(nn.Module):
    """A box head's hidden features as a map for the mask head."""

    def __init__(self, in_channels: int = 1024, channels: int = 256, *, size: int = 7) -> None:
        super().__init__()
        self.shape = (channels, size, size)
        self.fc = nn.Linear(in_channels, channels * size**2)
        nn.init.kaiming_normal_(self.fc.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(P, in_channels) to (P, D, 2 S, 2 S)."""
        return F.interpolate(
            self.fc(hidden).unflatten(1, self.shape), scale_factor=2, mode="bilinear", align_corners=True
        )


class ContextRoIExtractor:
    """Regions of another extractor plus the context of their pictures, which is the last of the maps."""

    def __init__(self, extractor: SemanticRoIExtractor) -> None:
        self.extractor = extractor

    def __call__(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Features (P, D, S, S) of the boxes (P_b, 4) of each image, in their order."""
        *maps, context = features
        counts = torch.tensor([len(part) for part in boxes], device=context.device)
        return self.extractor(maps, boxes) + context.repeat_interleave(counts, dim=0)


class SCNetRoIHead(CascadeRoIHead):
    """A cascade with one mask head after its last stage.

    Args:
        context: from the coarsest map, which is the last of the pyramid.
        relay: from the last box head's hidden features to what is added to the mask head's regions.
        parts: as `CascadeRoIHead`; the extractors take the pyramid, the semantic embedding and the context.
    """

    mask: MaskBranch

    def __init__(self, *, context: GlobalContextHead, relay: RelayHead, **parts: Any) -> None:
        super().__init__(**parts)
        self.context, self.relay = context, relay

    def detect(self, features: Sequence[Tensor], images: ImageList, proposals: Sequence[Instances]) -> list[Instances]:
        *pyramid, embedding = features
        features = [*pyramid, embedding, self.context(pyramid[-1])]
        detections = self.detect_boxes(features, images, proposals)
        boxes = batch_boxes(detections, images)
        last: BoxHead = self.box_heads[-1]  # type: ignore[assignment]
        relayed = self.relay(last.shared(self.extractor(features, boxes)))
        return self.mask.detect_in(self.mask.extractor(features, boxes) + relayed, images, detections)

    def loss(
        self,
        features: Sequence[Tensor],
        images: ImageList,
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        *pyramid, embedding = features
        context = self.context(pyramid[-1])
        features = [*pyramid, embedding, context]
        losses = {"loss_context": self.context.loss(context, targets)}
        for i, (head, stage) in enumerate(zip(self.box_heads, self.stages)):
            classes: int = head.classes  # type: ignore[assignment]
            sampled = [stage.sampler(p, t, classes) for p, t in zip(proposals, targets)]
            hidden = head.shared(self.extractor(features, [part.boxes for part in sampled]))  # type: ignore[operator]
            outputs = head.outputs(hidden)  # type: ignore[operator]
            parts = stage.criterion(outputs, sampled, stage.coder)
            losses |= {f"stage{i}.{name}": value * stage.loss_weight for name, value in parts.items()}
            proposals = next_proposals(outputs, sampled, images, stage.coder)
        positive = torch.cat([part.labels for part in sampled]) < classes
        regions = self.mask.extractor(features, positives_of(sampled)[0]) + self.relay(hidden[positive])
        mask = self.mask.loss_in(regions, sampled, targets)["loss_mask"]
        return losses | {"loss_mask": sum(stage.loss_weight for stage in self.stages) * mask}
