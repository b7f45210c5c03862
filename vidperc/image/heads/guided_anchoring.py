"""Guided Anchoring (https://arxiv.org/abs/1901.03278): where anchors are and how large they are is predicted.

Outputs have "location", the logits (B, A, 1) that an object is centred there, and "shape" (B, A, 2), the
codes of the anchor's width and height relative to the square at its location.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.feature_adaption import FeatureAdaption
from ...ops.boxes import box_area, box_centres
from ...structures import ImageList, Instances
from ..assigners import IGNORED, Assigner
from ..assigners.common import last_true, learnable
from ..box_coders import DeltaCoder
from ..losses import binary_focal_loss, bounded_iou_loss
from ..samplers import RandomSampler
from .dense import DenseOutputs, LevelMaps, TowerPredictor, initialise
from .matching import outside

CELLS_PER_OBJECT = 200  # the location loss is divided by the number of locations over this


class GuidedRetinaPredictor(TowerPredictor):
    """RetinaNet's towers; what follows them sees features taken where the anchor says.

    Args:
        classes: C.
        options: of the towers.
    """

    def __init__(self, *, classes: int, channels: int = 256, **options: Any) -> None:
        super().__init__(channels=channels, **options)
        self.conv_loc = nn.Conv2d(channels, 1, 1)
        self.conv_shape = nn.Conv2d(channels, 2, 1)
        self.retina_cls = nn.Conv2d(channels, classes, 3, padding=1)
        self.retina_reg = nn.Conv2d(channels, 4, 3, padding=1)
        initialise(self, self.conv_loc, self.retina_cls)
        self.feature_adaption_cls = FeatureAdaption(channels)
        self.feature_adaption_reg = FeatureAdaption(channels)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        cls, reg = self.cls_convs(x), self.reg_convs(x)
        shape = self.conv_shape(reg)
        seen = shape.detach()
        return {
            "logits": self.retina_cls(self.feature_adaption_cls(cls, seen)),
            "codes": self.retina_reg(self.feature_adaption_reg(reg, seen)),
            "location": self.conv_loc(cls),
            "shape": shape,
        }


class GuidedRPNPredictor(nn.Module):
    """A 3x3 convolution, then location and shape of an anchor, and from features adapted to it score and box."""

    def __init__(self, in_channels: int = 256, channels: int = 256) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.conv_loc = nn.Conv2d(channels, 1, 1)
        self.conv_shape = nn.Conv2d(channels, 2, 1)
        self.conv_cls = nn.Conv2d(channels, 1, 1)
        self.conv_reg = nn.Conv2d(channels, 4, 1)
        initialise(self, self.conv_loc)
        self.feature_adaption = FeatureAdaption(channels)

    def forward(self, features: list[Tensor]) -> list[LevelMaps]:
        return [self.level(F.relu(self.conv(feature), inplace=True)) for feature in features]

    def level(self, x: Tensor) -> LevelMaps:
        """The maps of one level."""
        shape = self.conv_shape(x)
        adapted = self.feature_adaption(x, shape.detach())
        return {
            "logits": self.conv_cls(adapted),
            "codes": self.conv_reg(adapted),
            "location": self.conv_loc(x),
            "shape": shape,
        }


class ShapeCoder(DeltaCoder):
    """As `DeltaCoder`, of width and height alone."""

    def __init__(self, stds: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)) -> None:
        super().__init__(stds=stds, clip_ratio=1e-6)

    def anchors(self, squares: Tensor, shapes: Tensor) -> Tensor:
        """The anchors (..., 4) of shapes (..., 2) at squares (..., 4)."""
        return self.decode(squares, F.pad(shapes, (2, 0)))


class GuideCriterion:
    """The losses of locations and shapes.

    Centres are what the location is trained to find, as in the paper; MMDetection 2.28 takes them for background.

    Args:
        assigner: squares to targets.
        sampler: of the shapes that are learnt.
        coder: of the shapes.
        scale: sides of the squares in strides.
        middle, around: parts of a target's sides in which locations are its centre, and beyond which they are not.
        background: how much locations count that are no centre.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        sampler: RandomSampler,
        coder: ShapeCoder,
        scale: float,
        middle: float = 0.2,
        around: float = 0.5,
        background: float = 0.1,
    ) -> None:
        self.assigner, self.sampler, self.coder, self.scale = assigner, sampler, coder, scale
        self.middle, self.around, self.background = middle, around, background

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        location = outputs.extra["location"][..., 0]  # (B, A)
        truth = [self.locations(outputs.priors, outputs.level_sizes, learnable(target)[0]) for target in targets]
        centre, weight = (torch.stack(part).to(location.dtype) for part in zip(*truth, strict=True))
        loss = (binary_focal_loss(location, centre) * weight).sum() / (location.numel() / CELLS_PER_OBJECT)
        return {"loss_location": loss, "loss_shape": self.shape_loss(outputs, images, targets)}

    def shape_loss(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> Tensor:
        """Bounded IoU loss of the sampled positive anchors, over the number sampled."""
        shapes, loss, count = outputs.extra["shape"], outputs.extra["shape"].sum() * 0, 0
        for i, target in enumerate(targets):
            with torch.no_grad():
                assigned = self.assigner(outputs.priors, target, outputs.image(i))
                assigned = torch.where(outside(outputs.priors, images.padded_alone[i]), IGNORED, assigned)
                positives, negatives = self.sampler(assigned)
            anchors = self.coder.anchors(outputs.priors[positives], shapes[i, positives])
            loss = loss + bounded_iou_loss(anchors, target.boxes[assigned[positives]]).sum()
            count += max(len(positives), 1) + max(len(negatives), 1)
        return loss / count

    @torch.no_grad()
    def locations(self, squares: Tensor, level_sizes: list[int], boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Whether the locations of squares (A, 4) are centres of boxes (N, 4), and how much they count; (A,) each."""
        parts = squares.split(level_sizes)
        strides = [(part[0, 2] - part[0, 0]) / self.scale for part in parts]
        level = levels_of(boxes, squares[0], len(parts))
        truth = [self.of_level(part, stride, boxes, level - i) for i, (part, stride) in enumerate(zip(parts, strides))]
        centre, weight = zip(*truth, strict=True)
        return torch.cat(centre), torch.cat(weight)

    def of_level(self, squares: Tensor, stride: Tensor, boxes: Tensor, away: Tensor) -> tuple[Tensor, Tensor]:
        """As `locations`, of one level; `away` (N,) are the levels from it to that of each box."""
        cells = (box_centres(squares) / stride).round()
        inner = in_region(cells, boxes / stride, self.middle)  # (A, N)
        outer = in_region(cells, boxes / stride, self.around) | inner
        own = away == 0
        weight = squares.new_full((len(squares),), self.background)
        weight[(outer & (away.abs() == 1)).any(1)] = 0
        if len(boxes):
            last = last_true(outer & own)  # of several targets the last one decides
            decided = inner.gather(1, last.clamp(min=0)[:, None])[:, 0].to(weight.dtype)
            weight = torch.where(last >= 0, decided, weight)
        return (inner & own).any(1), weight


def levels_of(boxes: Tensor, finest: Tensor, count: int) -> Tensor:
    """The level (N,) of each box (N, 4), whose squares are `finest` (4,) on the first of `count` and double then."""
    side = finest[2] - finest[0]
    return (box_area(boxes).sqrt().log2() - side.log2() + 0.5).floor().clamp(0, count - 1)


def in_region(cells: Tensor, boxes: Tensor, part: float) -> Tensor:
    """Which cells (A, 2) lie in the middle `part` of the sides of boxes (N, 4) in cells, rounded to cells; (A, N)."""
    cut = (1 - part) / 2
    low = ((1 - cut) * boxes[:, :2] + cut * boxes[:, 2:]).round()
    high = (cut * boxes[:, :2] + (1 - cut) * boxes[:, 2:]).round().clamp(min=0)
    return ((cells[:, None] >= low) & (cells[:, None] <= high)).all(-1)


def kept_locations(outputs: DenseOutputs, threshold: float) -> Tensor:
    """Which locations (B, A) are likely enough to be looked at."""
    return outputs.extra["location"][..., 0].sigmoid() >= threshold
