"""Hybrid Task Cascade (https://arxiv.org/abs/1901.07518): boxes and masks take turns in every stage of a cascade."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_kaiming
from ...structures import ImageList, Instances
from .box_head import BoxOutputs
from .cascade import CascadeRoIHead, next_proposals
from .extractor import RoIExtractor
from .mask import MaskBranch, MaskHead


class SemanticRoIExtractor:
    """Regions of the pyramid plus those of the semantic embedding, which is the last of the maps (section 3.3).

    Args:
        extractor: of the levels.
        semantic: of the embedding alone; averaged to the size of the other.
    """

    def __init__(self, extractor: RoIExtractor, semantic: RoIExtractor) -> None:
        self.extractor, self.semantic = extractor, semantic

    def __call__(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Features (P, D, S, S) of the boxes (P_b, 4) of each image, in their order."""
        regions = self.extractor(features, boxes)
        return regions + F.adaptive_avg_pool2d(self.semantic(features[-1:], boxes), regions.shape[-1])


class HTCMaskHead(MaskHead):
    """A mask head that adds what the head of the stage before saw, after a 1x1 convolution."""

    def __init__(self, in_channels: int = 256, *, channels: int = 256, **options: Any) -> None:
        super().__init__(in_channels, channels=channels, **options)
        self.conv_res = ConvNorm(channels, in_channels, 1)
        init_kaiming(self.conv_res)

    def continued(self, regions: Tensor, before: Tensor) -> Tensor:
        """Features (P, D, S, S) of regions, with those of the stage before."""
        return self.convolved(regions + self.conv_res(before))


class HTCMaskBranch(MaskBranch):
    """Mask heads each of which continues the one before (section 3.2); the first is a plain `MaskHead`."""

    def flow(self, regions: Tensor) -> Iterator[Tensor]:
        """What each head sees of the regions, (P, D, S, S)."""
        first, *rest = self.heads
        x = first.convolved(regions)  # type: ignore[operator]
        yield x
        for head in rest:
            x = head.continued(regions, x)  # type: ignore[operator]
            yield x

    def scores(self, regions: Tensor, labels: Tensor) -> Tensor:
        logits = [head.logits(x, labels) for head, x in zip(self.heads, self.flow(regions))]  # type: ignore[operator]
        return torch.stack(logits).sigmoid().mean(0)

    def logits(self, regions: Tensor, labels: Tensor, stage: int) -> Tensor:
        x = next(islice(self.flow(regions), stage, None))
        return self.heads[stage].logits(x, labels)  # type: ignore[operator,no-any-return]


class HTCRoIHead(CascadeRoIHead):
    """A cascade whose masks learn from the boxes of their own stage (interleaved execution, section 3.1)."""

    def loss(
        self,
        features: Sequence[Tensor],
        images: ImageList,
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        for i, (head, stage) in enumerate(zip(self.box_heads, self.stages)):
            classes: int = head.classes  # type: ignore[assignment]
            sampled = [stage.sampler(p, t, classes) for p, t in zip(proposals, targets)]
            outputs: BoxOutputs = head(self.extractor(features, [part.boxes for part in sampled]))
            parts = stage.criterion(outputs, sampled, stage.coder)
            proposals = next_proposals(outputs, sampled, images, stage.coder)
            if self.mask is not None:
                refined = [stage.sampler(p, t, classes) for p, t in zip(proposals, targets)]
                parts |= self.mask.loss(features, refined, targets, i)
            losses |= {f"stage{i}.{name}": value * stage.loss_weight for name, value in parts.items()}
        return losses
