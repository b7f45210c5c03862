"""Double-Head R-CNN (https://arxiv.org/abs/1904.06493): hidden layers name a region, convolutions place its box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm
from ..backbones.resnet import Bottleneck, initialise
from ..box_coders import DeltaCoder
from .box_head import BoxOutputs, initialise_outputs
from .criterion import BoxCriterion
from .extractor import RoIExtractor
from .sampling import SampledRegions


class DoubleExtractor(RoIExtractor):
    """Features of regions, (P, D, S, S), and behind them those of the same regions enlarged: (P, 2 D, S, S).

    Args:
        enlargement: of a region's sides, about its centre. Both come from the level that fits the region itself.
    """

    def __init__(
        self, output_size: int = 7, strides: Sequence[float] = (4, 8, 16, 32), *, enlargement: float = 1.3
    ) -> None:
        super().__init__(output_size, strides)
        self.enlargement = enlargement
        self.enlarged = RoIExtractor(output_size, strides, finest_scale=self.finest_scale * enlargement)

    def __call__(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        larger = [enlarge(part, self.enlargement) for part in boxes]
        return torch.cat([super().__call__(features, boxes), self.enlarged(features, larger)], dim=1)


def enlarge(boxes: Tensor, factor: float) -> Tensor:
    """Boxes (P, 4) with `factor` times their sides, about their centres."""
    low, high = boxes.chunk(2, dim=1)
    centre, half = (low + high) / 2, (high - low) / 2 * factor
    return torch.cat([centre - half, centre + half], dim=1)


class WideningBlock(nn.Module):
    """A residual block that widens: 3x3 and 1x1 convolutions beside a 1x1 one (figure 5a)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, in_channels, 3, padding=1, norm="bn")
        self.conv2 = ConvNorm(in_channels, channels, 1, norm="bn", relu=False)
        self.conv_identity = ConvNorm(in_channels, channels, 1, norm="bn", relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(self.conv1(x)).add_(self.conv_identity(x)), inplace=True)


class DoubleBoxHead(nn.Module):
    """Classes of what comes first in `DoubleExtractor`'s features, boxes of what comes second.

    Args:
        in_channels, roi_size: of the features of one of the two.
        classes: C, without background.
        hidden, fcs: width and number of the hidden layers.
        channels, blocks: of the convolutions, the widening block not counted.
    """

    class_agnostic: ClassVar = False

    def __init__(
        self,
        in_channels: int = 256,
        *,
        classes: int = 80,
        roi_size: int = 7,
        hidden: int = 1024,
        fcs: int = 2,
        channels: int = 1024,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        self.classes = classes
        self.res_block = WideningBlock(in_channels, channels)
        self.conv_branch = nn.ModuleList(Bottleneck(channels, channels // 4) for _ in range(blocks))
        features = in_channels * roi_size**2
        self.fc_branch = nn.ModuleList(nn.Linear(hidden if i else features, hidden) for i in range(fcs))
        self.fc_cls = nn.Linear(hidden, classes + 1)
        self.fc_reg = nn.Linear(channels, 4 * classes)
        initialise(self.res_block)
        for layer in self.fc_branch:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        initialise_outputs(self.fc_cls, self.fc_reg)

    def forward(self, regions: Tensor) -> BoxOutputs:
        of_class, of_box = regions.chunk(2, dim=1)
        x = of_class.flatten(1)
        for layer in self.fc_branch:
            x = F.relu(layer(x), inplace=True)
        boxes = self.res_block(of_box)
        for block in self.conv_branch:
            boxes = block(boxes)
        return BoxOutputs(self.fc_cls(x).float(), self.fc_reg(boxes.mean((2, 3))).float())


@dataclass(frozen=True)
class WeightedCriterion:
    """The losses of another criterion, `weight` times."""

    criterion: BoxCriterion
    weight: float = 2.0

    def __call__(self, outputs: BoxOutputs, sampled: Sequence[SampledRegions], coder: DeltaCoder) -> dict[str, Tensor]:
        return {name: self.weight * loss for name, loss in self.criterion(outputs, sampled, coder).items()}
