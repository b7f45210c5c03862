"""FoveaBox (https://arxiv.org/abs/1904.03797): locations in the middle of an object predict how far its sides are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...layers.conv import ConvNorm
from ...layers.feature_adaption import FeatureAdaption
from ...layers.norm import NormKind
from ...ops.boxes import box_area
from ...structures import ImageList, Instances
from ..assigners import BACKGROUND, Assigner
from ..assigners.common import last_true, learnable, require_levels, to_target_index
from ..distance_coders import boxes_around, distances_to
from ..losses import sigmoid_focal_loss, smooth_l1_loss
from .dense import DenseOutputs, LevelMaps, TowerPredictor, initialise
from .matching import match_everywhere


class FoveaPredictor(TowerPredictor):
    """Logits of every class and four box codes for each location.

    Args:
        classes: C.
        options: of the towers.
    """

    def __init__(self, *, classes: int, channels: int = 256, **options: Any) -> None:
        super().__init__(channels=channels, **options)
        self.conv_cls = nn.Conv2d(channels, classes, 3, padding=1)
        self.conv_reg = nn.Conv2d(channels, 4, 3, padding=1)
        initialise(self, self.conv_cls)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        return {"logits": self.conv_cls(self.cls_convs(x)), "codes": self.conv_reg(self.reg_convs(x))}


class AlignedFoveaPredictor(FoveaPredictor):
    """With features for the classes taken where the box is, and a short and wide tower on them (section 3.5)."""

    def __init__(
        self, *, classes: int, channels: int = 256, norm: NormKind | None = "gn", deform_groups: int = 4, **options: Any
    ) -> None:
        super().__init__(classes=classes, channels=channels, norm=norm, **options)
        self.cls_convs = nn.Sequential(
            ConvNorm(channels, 4 * channels, 3, padding=1, norm=norm),
            ConvNorm(4 * channels, 4 * channels, 1, norm=norm),
        )
        self.conv_cls = nn.Conv2d(4 * channels, classes, 3, padding=1)
        initialise(self, self.conv_cls)
        self.feature_adaption = FeatureAdaption(channels, 4, deform_groups=deform_groups)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        codes = self.conv_reg(self.reg_convs(x))
        adapted = self.feature_adaption(x, codes.exp())
        return {"logits": self.conv_cls(self.cls_convs(adapted)), "codes": codes}


class LogDistanceCoder:
    """Logarithms of distances to the sides. Priors are points (..., 3) x, y, stride.

    Args:
        unit: of the distances, in strides.
        largest: bound of the distances that are learnt, in units; their inverse is the lower one.
    """

    margin = 1

    def __init__(self, unit: float = 2.0, *, largest: float = 16.0) -> None:
        self.unit, self.largest = unit, largest

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor:
        """Boxes (..., 4) of codes (..., 4)."""
        return boxes_around(priors[..., :2], codes.exp() * (priors[..., 2:] * self.unit))

    def encode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        """Codes (..., 4) of boxes (..., 4)."""
        distances = distances_to(priors[..., :2], boxes) / (priors[..., 2:] * self.unit)
        return distances.clamp(1 / self.largest, self.largest).log()


class FoveaAssigner:
    """Cells in the middle of a target learn it on all levels that its size fits; of several the smallest.

    Needs `predictions` for the sizes of the levels. Priors are points (A, 3) in the middle of their cells.

    Args:
        ranges: of the square root of a target's area, by level.
        middle: sides of the middle in parts of the target's.
    """

    def __init__(
        self,
        ranges: Sequence[tuple[float, float]] = ((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048)),
        middle: float = 0.4,
    ) -> None:
        self.ranges, self.middle = tuple(ranges), middle

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        boxes, index = learnable(targets)
        if len(boxes) == 0:
            return torch.full((len(priors),), BACKGROUND, device=priors.device)
        sizes = require_levels(predictions)
        order = box_area(boxes).argsort(descending=True, stable=True)
        cells = (priors[:, :2] / priors[:, 2:] - 0.5).round()  # (A, 2) column and row
        inside = []
        for cell, points, reach in zip(cells.split(sizes), priors.split(sizes), self.ranges, strict=True):
            inside.append(self.in_middle(cell, boxes[order], points[:1, 2], reach))
        place = last_true(torch.cat(inside))
        return to_target_index(torch.where(place >= 0, order[place.clamp(min=0)], BACKGROUND), index)

    def in_middle(self, cells: Tensor, boxes: Tensor, stride: Tensor, reach: tuple[float, float]) -> Tensor:
        """Which cells (A, 2) of one level learn boxes (N, 4), (A, N)."""
        size = box_area(boxes).sqrt()
        scaled = boxes / stride
        half = (scaled[:, 2:] - scaled[:, :2]) * 0.5
        end = cells.amax(0)
        first = (scaled[:, :2] + (1 - self.middle) * half - 0.5).ceil().clamp(min=0).minimum(end)
        last = (scaled[:, :2] + (1 + self.middle) * half - 0.5).floor().clamp(min=0).minimum(end)
        inside = ((cells[:, None] >= first) & (cells[:, None] <= last)).all(-1)
        return inside & (size >= reach[0]) & (size <= reach[1])


class FoveaCriterion:
    """Focal loss of all locations, per positive one and image; smooth L1 of the positive ones' codes.

    Args:
        assigner: points to targets.
        coder: encodes the targets.
        alpha, gamma: of the focal loss.
        beta: turning point of smooth L1.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        coder: LogDistanceCoder,
        alpha: float = 0.4,
        gamma: float = 1.5,
        beta: float = 0.11,
    ) -> None:
        self.assigner, self.coder = assigner, coder
        self.alpha, self.gamma, self.beta = alpha, gamma, beta

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match_everywhere(self.assigner, outputs, targets)
        classification = sigmoid_focal_loss(outputs.logits.flatten(0, 1), matches.labels, self.alpha, self.gamma)
        codes = outputs.codes.flatten(0, 1)[matches.rows]
        boxes = smooth_l1_loss(codes, self.coder.encode(matches.priors, matches.boxes), self.beta)
        return {
            "loss_class": matches.counted(classification) / (len(matches) + len(targets)),
            "loss_box": boxes.sum() / max(len(matches), 1),
        }
