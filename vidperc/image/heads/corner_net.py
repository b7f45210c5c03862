"""CornerNet (https://arxiv.org/abs/1808.01244): boxes are pairs of corners that belong together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_kaiming
from ...structures import ImageList, Instances
from .dense import full_precision

CornerMaps = dict[str, Tensor]  # what a branch says: "heat" (B, C, H, W), "offset" (B, 2, H, W) in x, y order ...


class Corners(NamedTuple):
    """What is said of the two kinds of corners on one map."""

    top_left: CornerMaps
    bottom_right: CornerMaps


def running_max(x: Tensor, dim: int, reverse: bool) -> Tensor:
    """The largest value so far along a dimension, from its beginning or, reversed, from its end."""
    if not reverse:
        return x.cummax(dim).values
    return x.flip(dim).cummax(dim).values.flip(dim)


class CornerPool(nn.Module):
    """What an object's border shows, brought to its corner (section 3.4).

    Args:
        reverse: for top left corners, which lie above and left of what they belong to.
    """

    def __init__(self, channels: int, *, inner: int = 128, reverse: bool) -> None:
        super().__init__()
        self.reverse = reverse
        self.direction1_conv = ConvNorm(channels, inner, 3, padding=1, norm="bn")
        self.direction2_conv = ConvNorm(channels, inner, 3, padding=1, norm="bn")
        self.aftpool_conv = ConvNorm(inner, channels, 3, padding=1, norm="bn", relu=False)
        self.conv1 = ConvNorm(channels, channels, 1, norm="bn", relu=False)
        self.conv2 = ConvNorm(channels, channels, 3, padding=1, norm="bn")

    def forward(self, x: Tensor) -> Tensor:
        vertical = running_max(self.direction1_conv(x), 2, self.reverse)
        horizontal = running_max(self.direction2_conv(x), 3, self.reverse)
        pooled: Tensor = self.conv2(F.relu(self.aftpool_conv(vertical + horizontal) + self.conv1(x)))
        return pooled


def prediction(in_channels: int, out_channels: int) -> nn.Sequential:
    """A 3x3 and a 1x1 convolution."""
    return nn.Sequential(
        ConvNorm(in_channels, in_channels, 3, padding=1), ConvNorm(in_channels, out_channels, 1, relu=False)
    )


def initialise(branch: nn.Module, heat: nn.Sequential, *others: nn.Sequential) -> None:
    """The ends of a branch as torch makes them, but that every class starts with the score 0.1."""
    init_kaiming(branch)
    for part in (heat, *others):
        part[-1].conv.reset_parameters()  # type: ignore[union-attr, operator]
    nn.init.constant_(heat[-1].conv.bias, -math.log(9))  # type: ignore[union-attr, arg-type]


class CornerBranch(nn.Module):
    """One kind of corners on one map: heat of every class, offset in its cell, embedding.

    Args:
        in_channels: of the map.
        classes: C.
        reverse: as `CornerPool`.
    """

    def __init__(self, *, in_channels: int, classes: int, reverse: bool) -> None:
        super().__init__()
        self.pool = CornerPool(in_channels, reverse=reverse)
        self.heat = prediction(in_channels, classes)
        self.off = prediction(in_channels, 2)
        self.emb = prediction(in_channels, 1)
        initialise(self, self.heat, self.off, self.emb)

    def forward(self, x: Tensor) -> CornerMaps:
        pooled = self.pool(x)
        return {"heat": self.heat(pooled), "offset": self.off(pooled), "embedding": self.emb(pooled)}


class CornerPredictor(nn.Module):
    """Two branches for each map.

    Args:
        branch: makes one.
        in_channels: of the maps.
        classes: C.
        levels: maps.
    """

    def __init__(
        self,
        *,
        classes: int,
        in_channels: int = 256,
        levels: int = 2,
        branch: Callable[..., nn.Module] = CornerBranch,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"in_channels": in_channels, "classes": classes}
        self.tl = nn.ModuleList(branch(reverse=True, **options) for _ in range(levels))
        self.br = nn.ModuleList(branch(reverse=False, **options) for _ in range(levels))

    def forward(self, features: list[Tensor]) -> list[Corners]:
        return [self.level(i, x) for i, x in enumerate(features)]

    def level(self, index: int, x: Tensor) -> Corners:
        """The corners on one map, in single precision."""
        return Corners(*({k: v.float() for k, v in part[index](x).items()} for part in (self.tl, self.br)))


class CornerHead(nn.Module):
    """Corners on every map to learn from, on the last one to detect with.

    Args:
        predictor: maps to corners.
        criterion: (corners of each map, images, targets) to losses by name.
        postprocessor: makes pairs and suppresses.
    """

    def __init__(
        self,
        *,
        predictor: CornerPredictor,
        criterion: Callable[[list[Corners], ImageList, list[Instances]], dict[str, Tensor]],
        postprocessor: Any,
    ) -> None:
        super().__init__()
        self.predictor, self.criterion, self.postprocessor = predictor, criterion, postprocessor

    def candidates(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        """The boxes of each image before suppression, in pixels of the resized pictures."""
        corners = self.predictor.level(-1, features[-1])
        with full_precision(features[-1]):
            pairs: list[Instances] = self.postprocessor.pairs(corners, images)
        return pairs

    def decide(self, candidates: list[Instances], images: ImageList) -> list[Instances]:
        """The objects of each image among its candidates, in pixels of the original."""
        scales = [each.boxes.new_tensor(scale * 2) for each, scale in zip(candidates, images.scales)]
        return [self.postprocessor.suppress(c.replace(boxes=c.boxes / s)) for c, s in zip(candidates, scales)]

    def detect(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        """The objects of each image, in pixels of the original."""
        return self.decide(self.candidates(features, images), images)

    def loss(self, features: list[Tensor], images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        """Training losses by name; targets are in pixels of the batch."""
        corners = self.predictor(features)
        with full_precision(features[-1]):
            return self.criterion(corners, images, targets)
