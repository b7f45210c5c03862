"""Detectors that also learn the class of every pixel (Hybrid Task Cascade, https://arxiv.org/abs/1901.07518, 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.conv import ConvNorm, init_kaiming
from ..structures import UNKNOWN_CLASS, Clip, Frame, ImageList, Instances
from .two_stage import RCNN


class SemanticHead(nn.Module):
    """All levels on the grid of one, summed, four convolutions; from there the classes and an embedding.

    Args:
        levels: how many maps there are.
        grid: number of the level whose grid is taken.
        classes: of the pixels.
    """

    def __init__(
        self,
        in_channels: int = 256,
        *,
        channels: int = 256,
        levels: int = 5,
        grid: int = 1,
        convs: int = 4,
        classes: int = 183,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.lateral_convs = nn.ModuleList(ConvNorm(in_channels, in_channels, 1) for _ in range(levels))
        self.convs = nn.ModuleList(
            ConvNorm(channels if i else in_channels, channels, 3, padding=1) for i in range(convs)
        )
        self.conv_embedding = ConvNorm(channels, channels, 1)
        self.conv_logits = nn.Conv2d(channels, classes, 1)
        init_kaiming(self)

    def hidden(self, features: Sequence[Tensor]) -> Tensor:
        """(B, D, H, W) on the grid of one of the maps."""
        size = features[self.grid].shape[-2:]
        laterals = []
        for feature, conv in zip(features, self.lateral_convs, strict=True):
            if feature.shape[-2:] != size:
                feature = F.interpolate(feature, size, mode="bilinear", align_corners=True)
            laterals.append(conv(feature))
        x = torch.stack(laterals).sum(0)
        for conv in self.convs:
            x = conv(x)
        return x

    def embed(self, features: Sequence[Tensor]) -> Tensor:
        """The embedding (B, D, H, W) that regions are taken from."""
        return self.conv_embedding(self.hidden(features))  # type: ignore[no-any-return]

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits (B, C, H, W) and the embedding."""
        x = self.hidden(features)
        return self.conv_logits(x).float(), self.conv_embedding(x)


@dataclass(frozen=True)
class SemanticCriterion:
    """Cross entropy of all pixels; those of unknown class count in the mean, with no loss."""

    weight: float = 0.2

    def __call__(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Of logits (B, C, h, w) and the classes (B, H, W) of the batch's pixels; H, W are multiples of h, w."""
        rows, columns = (side // grid for side, grid in zip(maps.shape[1:], logits.shape[2:]))
        labels = maps[:, ::rows, ::columns].long()
        return self.weight * F.cross_entropy(logits, labels, ignore_index=UNKNOWN_CLASS, reduction="none").mean()


class SemanticRCNN(RCNN):
    """An R-CNN whose RoI head takes, after the maps of the pyramid, a semantic embedding of the picture.

    It trains on frames that have a semantic map beside boxes and masks.
    """

    def __init__(self, *, semantic: SemanticHead, semantic_criterion: SemanticCriterion, **parts: Any) -> None:
        super().__init__(**parts)
        self.semantic, self.semantic_criterion = semantic, semantic_criterion

    def detect(
        self, features: list[Tensor], images: ImageList, proposals: Sequence[Instances] | None = None
    ) -> list[Instances]:
        if proposals is None:
            proposals = self.propose(features, images)
        return self.roi_head.detect([*features, self.semantic.embed(features)], images, proposals)

    def loss(
        self,
        features: list[Tensor],
        images: ImageList,
        targets: list[Instances],
        proposals: Sequence[Instances] | None = None,
        semantic: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """As `RCNN.loss`; `semantic` are the classes (B, H, W) of the batch's pixels, or `UNKNOWN_CLASS`."""
        if semantic is None:
            raise ValueError("this detector trains on semantic maps beside boxes and masks: give `semantic`")
        losses: dict[str, Tensor] = {}
        if proposals is None:
            losses, proposals = self.proposal_losses(features, images, targets)
        logits, embedding = self.semantic(features)
        losses["loss_semantic"] = self.semantic_criterion(logits, semantic)
        return losses | self.roi_head.loss([*features, embedding], images, proposals, targets)

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        images, targets = self.training_batch(clips)
        maps = batch_maps([clip[clip.key] for clip in clips], images.padded_size).to(self.device)
        return self.loss(self.extract_features(images), images, targets, semantic=maps)


def batch_maps(frames: Sequence[Frame], size: tuple[int, int]) -> Tensor:
    """The semantic maps of frames as one (B, *size), `UNKNOWN_CLASS` beyond the pictures.

    Raises:
        ValueError: a frame without one.
    """
    maps = torch.full((len(frames), *size), UNKNOWN_CLASS, dtype=torch.uint8)
    for target, frame in zip(maps, frames):
        if frame.semantic is None:
            raise ValueError(f"frame {frame.index} ({frame.name}) has no semantic map to train on")
        height, width = frame.size
        target[:height, :width] = frame.semantic
    return maps
