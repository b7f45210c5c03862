"""Regions' features by deformable RoI pooling (https://arxiv.org/abs/1703.06211, v2 https://arxiv.org/abs/1811.11168).

Where the bins of a region go, and in v2 how much each counts, is read from its features at rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...ops.deform_roi_pool import deform_roi_pool
from .extractor import RoIExtractor, to_rois


class DeformRoIPool(nn.Module):
    """The pooling of one level.

    Args:
        channels: of the map.
        size: side of the result.
        hidden: width of the layers that give the offsets.
        gamma: an offset of 1 moves a bin by this part of the region's side.
    """

    def __init__(self, channels: int = 256, size: int = 7, *, hidden: int = 1024, gamma: float = 0.1) -> None:
        super().__init__()
        self.size, self.gamma = size, gamma
        self.offset_fc = nn.Sequential(
            nn.Linear(channels * size**2, hidden), nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, 2 * size**2),
        )  # fmt: skip
        nn.init.zeros_(self.offset_fc[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.offset_fc[-1].bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        """Features (B, D, H, W) of regions (P, 5) as (P, D, size, size)."""
        return self.pool(features, rois, scale, self.at_rest(features, rois, scale))

    def at_rest(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        """The features (P, D * size * size) of bins that are not moved."""
        return deform_roi_pool(features, rois, None, self.size, scale).flatten(1)

    def pool(self, features: Tensor, rois: Tensor, scale: float, rest: Tensor) -> Tensor:
        """The features of the moved bins."""
        offsets = self.offset_fc(rest).view(-1, 2, self.size, self.size).to(rois.dtype)
        return deform_roi_pool(features, rois, offsets, self.size, scale, self.gamma)


class ModulatedDeformRoIPool(DeformRoIPool):
    """The same with a weight of each bin (v2)."""

    def __init__(self, channels: int = 256, size: int = 7, *, hidden: int = 1024, gamma: float = 0.1) -> None:
        super().__init__(channels, size, hidden=hidden, gamma=gamma)
        self.mask_fc = nn.Sequential(
            nn.Linear(channels * size**2, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, size**2), nn.Sigmoid()
        )
        nn.init.zeros_(self.mask_fc[2].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.mask_fc[2].bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        rest = self.at_rest(features, rois, scale)
        return self.pool(features, rois, scale, rest) * self.mask_fc(rest).view(-1, 1, self.size, self.size)


class DeformRoIExtractor(nn.Module):
    """As `RoIExtractor`, each level with a deformable pooling of its own.

    Args:
        roi_layers: of the levels, finest first.
        strides: of the levels.
    """

    def __init__(self, roi_layers: Sequence[DeformRoIPool], strides: Sequence[float] = (4, 8, 16, 32)) -> None:
        super().__init__()
        self.roi_layers = nn.ModuleList(roi_layers)
        self.strides, self.levels_of = tuple(strides), RoIExtractor(strides=strides).levels_of

    def forward(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Features (P, D, S, S) of the boxes (P_b, 4) of each image, in their order."""
        rois = to_rois(boxes)
        levels = self.levels_of(rois[:, 1:])
        parts, order, unused = [], [], []
        for level, (layer, stride) in enumerate(zip(self.roi_layers, self.strides)):
            index = (levels == level).nonzero(as_tuple=True)[0]
            if len(index) or level == 0:
                parts.append(layer(features[level], rois[index], 1 / stride))
                order.append(index)
            if not len(index):
                unused += list(layer.parameters())
        out = torch.cat(parts)[torch.cat(order).argsort()]
        if torch.is_grad_enabled() and unused:  # several processes need a gradient of every parameter
            out = out + sum(parameter.sum() for parameter in unused) * 0
        return out
