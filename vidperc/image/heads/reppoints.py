"""RepPoints (https://arxiv.org/abs/1904.11490): objects as nine points, which also say where features are taken."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.deform_conv import OffsetConv
from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..losses import sigmoid_focal_loss, smooth_l1_loss
from .dense import DenseOutputs, LevelMaps, TowerPredictor, initialise
from .matching import Matches, match, mean_over_processes

SIDE = 3  # points of a side of the grid


class RepPointsPredictor(TowerPredictor):
    """First points, then logits and refined points from features at the first.

    Codes are boxes in strides around the location; "first" are those of the first points.

    Args:
        classes: C.
        to_boxes: points (B, 9, 2, H, W) in y, x order to boxes (B, 4, H, W).
        gradient: how much of the gradient passes into the first points through the sampling.
        options: of the towers.
    """

    def __init__(
        self, *, classes: int, to_boxes: nn.Module, gradient: float = 0.1, channels: int = 256, **options: Any
    ) -> None:
        super().__init__(channels=channels, **{"convs": 3, **options})
        self.to_boxes, self.gradient = to_boxes, gradient
        codes = self.codes_per_point
        self.reppoints_cls_conv = OffsetConv(channels, channels)
        self.reppoints_cls_out = nn.Conv2d(channels, classes, 1)
        self.reppoints_pts_init_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.reppoints_pts_init_out = nn.Conv2d(channels, codes, 1)
        self.reppoints_pts_refine_conv = OffsetConv(channels, channels)
        self.reppoints_pts_refine_out = nn.Conv2d(channels, codes, 1)
        initialise(self, self.reppoints_cls_out)

    codes_per_point = 2 * SIDE**2

    def level(self, index: int, x: Tensor) -> LevelMaps:
        cls, reg = self.cls_convs(x), self.reg_convs(x)
        first = self.first_points(self.reppoints_pts_init_out(F.relu(self.reppoints_pts_init_conv(reg))).float())
        passed = (1 - self.gradient) * first.detach() + self.gradient * first
        offset = passed - unit_grid(first)
        logits = self.reppoints_cls_out(F.relu(self.reppoints_cls_conv(cls, offset)))
        refinement = self.reppoints_pts_refine_out(F.relu(self.reppoints_pts_refine_conv(reg, offset))).float()
        refined = self.refined_points(refinement, first.detach())
        boxes = [self.to_boxes(points.unflatten(1, (-1, 2))) for points in (refined, first)]
        return {"logits": logits, "codes": boxes[0], "first": boxes[1]}

    def first_points(self, codes: Tensor) -> Tensor:
        """(B, 18, H, W) in cells around the location, y and x in turn."""
        return codes

    def refined_points(self, codes: Tensor, first: Tensor) -> Tensor:
        """As `first_points`, from codes relative to those."""
        return codes + first


class GridPredictor(RepPointsPredictor):
    """The paper's baseline: boxes by centre and size, whose points are a regular grid.

    Args:
        base_scale: sides of the box that codes begin from, in cells.
    """

    codes_per_point = 4

    def __init__(self, *, base_scale: float = 4.0, **options: Any) -> None:
        super().__init__(**options)
        self.base_scale = base_scale

    def first_points(self, codes: Tensor) -> Tensor:
        half = self.base_scale / 2
        return grid_points(codes, codes.new_tensor([-half, -half, half, half]).view(1, 4, 1, 1))

    def refined_points(self, codes: Tensor, first: Tensor) -> Tensor:
        return grid_points(codes, first[:, [1, 0, -1, -2]])  # first and last point as x1 y1 x2 y2


def grid_points(codes: Tensor, boxes: Tensor) -> Tensor:
    """Points (B, 18, H, W) that fill the boxes (B, 4, H, W) moved and scaled by codes (B, 4, H, W)."""
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    new_size = size * codes[:, 2:].exp()
    corner = centre + size * codes[:, :2] - 0.5 * new_size
    step = torch.linspace(0, 1, SIDE, device=codes.device).view(1, -1, 1, 1)
    x = corner[:, :1] + new_size[:, :1] * step  # (B, 3, H, W)
    y = corner[:, 1:] + new_size[:, 1:] * step
    rows = y[:, :, None].expand(-1, -1, SIDE, -1, -1).flatten(1, 2)
    columns = x[:, None].expand(-1, SIDE, -1, -1, -1).flatten(1, 2)
    return torch.stack((rows, columns), dim=2).flatten(1, 2)


def unit_grid(like: Tensor) -> Tensor:
    """Where a 3x3 convolution looks, (1, 18, 1, 1): y and x of each point in cells."""
    step = torch.arange(SIDE, dtype=like.dtype, device=like.device) - SIDE // 2
    return torch.stack(torch.meshgrid(step, step, indexing="ij"), dim=-1).view(1, -1, 1, 1)


class MomentBoxes(nn.Module):
    """Boxes around the mean of the points, as large as learned multiples of their standard deviation.

    Args:
        gradient: how much the multiples learn.
    """

    def __init__(self, gradient: float = 0.01) -> None:
        super().__init__()
        self.gradient = gradient
        self.moment_transfer = nn.Parameter(torch.zeros(2))  # log of the multiples of x and y

    def forward(self, points: Tensor) -> Tensor:
        mean, deviation = points.mean(1).flip(1), points.std(1).flip(1)  # (B, 2, H, W), x and y
        transfer = self.gradient * self.moment_transfer + (1 - self.gradient) * self.moment_transfer.detach()
        half = deviation * transfer.exp().view(1, 2, 1, 1)
        return torch.cat((mean - half, mean + half), dim=1)


class MinMaxBoxes(nn.Module):
    """The smallest boxes that hold the first `count` points."""

    def __init__(self, count: int = SIDE**2) -> None:
        super().__init__()
        self.count = count

    def forward(self, points: Tensor) -> Tensor:
        points = points[:, : self.count].flip(2)
        return torch.cat((points.amin(1), points.amax(1)), dim=1)


class OffsetCoder:
    """Boxes in strides around points (..., 3)."""

    margin = 0

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor:
        """Boxes (..., 4) of codes (..., 4)."""
        return codes * priors[..., 2:] + torch.cat((priors[..., :2], priors[..., :2]), dim=-1)


class RepPointsCriterion:
    """Focal loss of all points by their first boxes, and a loss of first and refined boxes of the positive ones.

    Args:
        first_assigner: points to targets.
        assigner: first boxes to targets.
        coder: of the boxes.
        base_scale: strides that box differences are counted in.
        first_weight, box_weight: of the box losses.
    """

    def __init__(
        self,
        *,
        first_assigner: Assigner,
        assigner: Assigner,
        coder: OffsetCoder,
        base_scale: float = 4.0,
        first_weight: float = 0.5,
        box_weight: float = 1.0,
    ) -> None:
        self.first_assigner, self.assigner, self.coder = first_assigner, assigner, coder
        self.base_scale, self.first_weight, self.box_weight = base_scale, first_weight, box_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        first_boxes = self.coder.decode(outputs.priors, outputs.extra["first"])
        boxes = self.coder.decode(outputs.priors, outputs.codes)
        first = match(self.first_assigner, outputs, images, targets)
        refined = match(self.assigner, outputs, images, targets, first_boxes)
        positives = mean_over_processes(len(refined), outputs.logits)
        classification = sigmoid_focal_loss(outputs.logits.flatten(0, 1), refined.labels)
        return {
            "loss_class": refined.counted(classification) / positives,
            "loss_first_box": self.first_weight * self.box_loss(first_boxes, first),
            "loss_box": self.box_weight * self.box_loss(boxes, refined),
        }

    def box_loss(self, boxes: Tensor, matches: Matches) -> Tensor:
        """Smooth L1 of the positive ones among boxes (B, A, 4), in sizes of the objects of their level."""
        unit = matches.priors[:, 2:] * self.base_scale
        loss = smooth_l1_loss(boxes.flatten(0, 1)[matches.rows] / unit, matches.boxes / unit, beta=0.11)
        return loss.sum() / mean_over_processes(matches.count(len(boxes)), boxes)


class SquareAssigner:
    """Assigns squares around the points in the place of points (..., 3).

    Args:
        assigner: of boxes.
        scale: sides of the squares in strides.
    """

    def __init__(self, assigner: Assigner, scale: float = 4.0) -> None:
        self.assigner, self.scale = assigner, scale

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        half = priors[:, 2:] * (self.scale / 2)
        squares = torch.cat((priors[:, :2] - half, priors[:, :2] + half), dim=1)
        return self.assigner(squares, targets, predictions)
