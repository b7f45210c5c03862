"""VarifocalNet (https://arxiv.org/abs/2008.13367): scores that are IoUs, from features sampled around a first box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm
from ...layers.deform_conv import OffsetConv
from ...ops.boxes import aligned_iou
from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..distance_coders import anchor_points, boxes_around
from ..losses import giou_loss, varifocal_loss
from .dense import DenseOutputs, LevelMaps, Scale, TowerPredictor, initialise
from .matching import Matches, match, mean_over_processes


class VFNetPredictor(TowerPredictor):
    """First distances, then logits and refined distances from a star of nine points of the first box.

    Distances are in pixels. "first" are the unrefined ones.

    Args:
        classes: C.
        strides: of the levels.
        units: by level, the distance in pixels that exp(0) stands for.
        gradient: how much of the gradient passes into the first box through the star.
        options: of the towers.
    """

    def __init__(
        self,
        *,
        classes: int,
        strides: Sequence[float] = (8, 16, 32, 64, 128),
        units: Sequence[float] = (64, 128, 256, 512, 1024),
        gradient: float = 0.1,
        channels: int = 256,
        **options: Any,
    ) -> None:
        super().__init__(channels=channels, norm="gn", **{"convs": 3, **options})
        self.strides, self.units, self.gradient = tuple(strides), tuple(units), gradient
        self.vfnet_reg_conv = ConvNorm(channels, channels, 3, padding=1, norm="gn", bias=options.get("conv_bias"))
        self.vfnet_reg = nn.Conv2d(channels, 4, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in strides)
        self.vfnet_reg_refine_dconv = OffsetConv(channels, channels)
        self.vfnet_reg_refine = nn.Conv2d(channels, 4, 3, padding=1)
        self.scales_refine = nn.ModuleList(Scale() for _ in strides)
        self.vfnet_cls_dconv = OffsetConv(channels, channels)
        self.vfnet_cls = nn.Conv2d(channels, classes, 3, padding=1)
        initialise(self, self.vfnet_cls)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        cls, reg = self.cls_convs(x), self.reg_convs(x)
        first = self.scales[index](self.vfnet_reg(self.vfnet_reg_conv(reg))).float().exp() * self.units[index]
        passed = (1 - self.gradient) * first.detach() + self.gradient * first
        offset = star_offsets(passed / self.strides[index])
        reg = F.relu(self.vfnet_reg_refine_dconv(reg, offset))
        factor = self.scales_refine[index](self.vfnet_reg_refine(reg)).float().exp()
        cls = F.relu(self.vfnet_cls_dconv(cls, offset))
        return {"logits": self.vfnet_cls(cls), "codes": factor * first.detach(), "first": first}


def star_offsets(distances: Tensor) -> Tensor:
    """Offsets (B, 18, H, W) that bring the points of a 3x3 convolution to corners, sides and middle of boxes.

    Args:
        distances: (B, 4, H, W) to left, top, right, bottom, in cells.
    """
    left, top, right, bottom = distances.unbind(1)
    zero = torch.zeros_like(left)
    rows, columns = (-top + 1, zero, bottom - 1), (-left + 1, zero, right - 1)
    return torch.stack([value for row in rows for column in columns for value in (row, column)], dim=1)


class AnchorDistanceCoder:
    """Distances in pixels from the points that square anchors (..., 4) stand for."""

    margin = 0

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor:
        """Boxes (..., 4) of codes (..., 4)."""
        return boxes_around(anchor_points(priors)[..., :2], codes)


class VFNetCriterion:
    """Varifocal loss of all points, GIoU of first and refined boxes of the positive ones, weighted by IoU.

    Args:
        assigner: anchors to targets.
        coder: of the distances.
        first_weight, box_weight: of the box losses.
    """

    def __init__(
        self, *, assigner: Assigner, coder: AnchorDistanceCoder, first_weight: float = 1.5, box_weight: float = 2.0
    ) -> None:
        self.assigner, self.coder = assigner, coder
        self.first_weight, self.box_weight = first_weight, box_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match(self.assigner, outputs, images, targets)
        positives = mean_over_processes(len(matches), outputs.logits)
        first_loss, _ = self.weighted_giou(outputs.extra["first"], matches)
        box_loss, iou = self.weighted_giou(outputs.codes, matches)
        logits = outputs.logits.flatten(0, 1)
        quality = torch.zeros_like(logits)
        quality[matches.rows, matches.positive_labels] = iou
        return {
            "loss_class": matches.counted(varifocal_loss(logits, quality)) / positives,
            "loss_first_box": self.first_weight * first_loss,
            "loss_box": self.box_weight * box_loss,
        }

    def weighted_giou(self, codes: Tensor, matches: Matches) -> tuple[Tensor, Tensor]:
        """The mean GIoU loss of the positive codes, weighted by their IoU, and the IoU (P,)."""
        boxes = self.coder.decode(matches.priors, codes.flatten(0, 1)[matches.rows])
        iou = aligned_iou(boxes.detach(), matches.boxes)
        return (giou_loss(boxes, matches.boxes) * iou).sum() / mean_over_processes(iou.sum(), iou), iou
