"""Losses of boxes (N, 4) xyxy against boxes of the same shape; all give one value per box."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...ops.boxes import aligned_intersection, aligned_iou, box_area, box_centres


def iou_loss(boxes: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """-log IoU (UnitBox, https://arxiv.org/abs/1608.01471)."""
    return -aligned_iou(boxes, target).clamp(min=eps).log()


def linear_iou_loss(boxes: Tensor, target: Tensor) -> Tensor:
    """1 - IoU."""
    return 1 - aligned_iou(boxes, target)


def giou_loss(boxes: Tensor, target: Tensor, eps: float = 1e-7) -> Tensor:
    """1 - generalised IoU (https://arxiv.org/abs/1902.09630)."""
    shared = aligned_intersection(boxes, target)
    union = (box_area(boxes) + box_area(target) - shared).clamp(min=eps)
    hull = box_area(_hull(boxes, target)).clamp(min=eps)
    return 1 - shared / union + (hull - union) / hull


def diou_loss(boxes: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """1 - distance IoU (https://arxiv.org/abs/1911.08287)."""
    return 1 - aligned_iou(boxes, target) + _centre_distance(boxes, target, eps)


def ciou_loss(boxes: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """1 - complete IoU: distance and aspect ratio beside overlap (https://arxiv.org/abs/1911.08287)."""
    iou = aligned_iou(boxes, target)
    angle = _aspect(target, eps) - _aspect(boxes, eps)
    ratio = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        weight = ratio / (1 - iou + ratio).clamp(min=eps)
    return 1 - iou + _centre_distance(boxes, target, eps) + weight * ratio


def bounded_iou_loss(boxes: Tensor, target: Tensor, beta: float = 0.2, eps: float = 1e-3) -> Tensor:
    """An upper bound of the IoU loss, by centre and size apart (https://arxiv.org/abs/1711.00164).

    The sum of the bounds of x, y, width and height.
    """
    size, target_size = boxes[:, 2:] - boxes[:, :2], target[:, 2:] - target[:, :2]
    away = (box_centres(target) - box_centres(boxes)).abs()
    centre = 1 - ((target_size - 2 * away) / (target_size + 2 * away + eps)).clamp(min=0)
    shape = 1 - torch.minimum(target_size / (size + eps), size / (target_size + eps))
    bound = torch.cat((centre, shape), dim=1)  # (N, 4)
    return torch.where(bound < beta, 0.5 * bound.square() / beta, bound - 0.5 * beta).sum(1)


def _hull(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat((torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])), dim=-1)


def _centre_distance(boxes: Tensor, target: Tensor, eps: float) -> Tensor:
    """Squared distance of the centres in squared diagonals of the hull."""
    hull = _hull(boxes, target)
    diagonal = (hull[:, 2:] - hull[:, :2]).clamp(min=0).square().sum(1) + eps
    return (box_centres(boxes) - box_centres(target)).square().sum(1) / diagonal


def _aspect(boxes: Tensor, eps: float) -> Tensor:
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1] + eps
    return torch.atan(width / height)
