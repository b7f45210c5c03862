"""Temporal RoI Align (Gong et al. 2021, https://arxiv.org/abs/2109.03495) in SELSA.

The features of a region are mixed, cell by cell, with the most similar places of the reference frames' maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..image.roi_heads.box_head import BoxOutputs
from ..image.two_stage import RCNN
from ..structures import Instances
from .selsa import SELSA, Regions, join


class TemporalRoIAlign(nn.Module):
    """Mixes the cells of regions with like places of other maps.

    Args:
        channels: of the features.
        similar: places of each map that a cell takes (K, section 3.2).
        blocks: parts of the channels with a temporal attention of their own (N, section 3.3).
    """

    def __init__(self, channels: int = 512, similar: int = 2, blocks: int = 4) -> None:
        super().__init__()
        self.similar, self.blocks = similar, blocks
        self.embed = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, regions: Tensor, maps: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
        """The mixed features (P, D, S, S).

        Args:
            regions: (P, D, S, S).
            maps: of the references, (1, D, H, W) each.
            counts: how many times each map counts.
        """
        target = self._blocks(self.embed(regions))  # (P, blocks, D / blocks, S, S)
        scale = target.shape[2] ** -0.5
        found = [regions, *(self.most_similar(regions, one) for one in maps)]
        logits = torch.stack([(target * self._blocks(self.embed(part))).sum(2) * scale for part in found])
        numbers = torch.tensor([1, *counts], device=regions.device, dtype=logits.dtype)
        weights = torch.softmax(logits.float() + numbers.log()[:, None, None, None, None], dim=0).to(regions.dtype)
        out = torch.zeros_like(self._blocks(regions))
        for part, weight in zip(found, weights, strict=True):
            out = out + self._blocks(part) * weight[:, :, None]
        return out.flatten(1, 2)

    def _blocks(self, features: Tensor) -> Tensor:
        return features.unflatten(1, (self.blocks, -1))

    def most_similar(self, regions: Tensor, features: Tensor) -> Tensor:
        """For each cell of regions (P, D, S, S) the mean of its most similar places of a map (1, D, H, W)."""
        cells = regions.permute(0, 2, 3, 1).flatten(0, 2)  # (P S S, D)
        places = features[0].flatten(1).T  # (H W, D)
        likeness = F.normalize(cells, dim=1) @ F.normalize(places, dim=1).T  # (P S S, H W)
        values, index = likeness.topk(min(self.similar, len(places)), dim=1)
        weights = torch.softmax(values.float(), dim=1).to(places.dtype)
        mixed = sum(places[index[:, k]] * weights[:, k, None] for k in range(index.shape[1]))
        shape = (regions.shape[0], *regions.shape[2:], regions.shape[1])
        return mixed.view(shape).permute(0, 3, 1, 2)  # type: ignore[union-attr]


@dataclass
class TemporalReferences:
    """What reference frames offer: that of their regions by layer, and their feature maps (1, D, H, W)."""

    regions: list[Regions]
    maps: list[Tensor]  # all different
    counts: list[int]  # how many references have each of the maps


class TemporalRoIAlignSELSA(SELSA):
    """SELSA whose regions are first mixed with like places of the references' maps and of their own.

    Args:
        align: the mixing.
    """

    sensitive_to_rounding: ClassVar = True  # which places are the most similar

    def __init__(self, *, detector: RCNN, align: TemporalRoIAlign, references: int = 14, chunk: int = 4) -> None:
        super().__init__(detector=detector, references=references, chunk=chunk)
        self.align = align

    def offer(self, features: list[Tensor], proposals: Sequence[Instances]) -> list[TemporalReferences]:
        if len(features) != 1:
            raise ValueError(f"Temporal RoI Align mixes one feature map, the detector has {len(features)}")
        regions = super().offer(features, proposals)
        return [TemporalReferences(part, [own], [1]) for part, own in zip(regions, features[0].split(1), strict=True)]

    def join(self, offers: Sequence[TemporalReferences]) -> TemporalReferences:
        maps: dict[int, Tensor] = {}
        counts: dict[int, int] = {}
        for offered in offers:
            for one, count in zip(offered.maps, offered.counts, strict=True):
                maps[id(one)] = one
                counts[id(one)] = counts.get(id(one), 0) + count
        return TemporalReferences(join([part.regions for part in offers]), list(maps.values()), list(counts.values()))

    def look(self, regions: Tensor, own: Tensor, references: TemporalReferences) -> BoxOutputs:
        mixed = self.align(regions, [own, *references.maps], [1, *references.counts])
        # As references the frame's own regions stay as they are.
        offered = join([references.regions, self.box_head.offer(regions)])
        return self.box_head.attend_to(mixed, offered)
