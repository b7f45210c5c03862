"""Losses: functions of flat tensors that give one value per element or box. Weighting is the criterion's business."""

from .boxes import bounded_iou_loss, ciou_loss, diou_loss, giou_loss, iou_loss, linear_iou_loss
from .classification import (
    binary_cross_entropy,
    binary_focal_loss,
    cross_entropy,
    quality_focal_loss,
    sigmoid_focal_loss,
    varifocal_loss,
)
from .regression import balanced_l1_loss, distribution_focal_loss, l1_loss, mse_loss, smooth_l1_loss

__all__ = [
    "balanced_l1_loss",
    "binary_cross_entropy",
    "binary_focal_loss",
    "bounded_iou_loss",
    "ciou_loss",
    "cross_entropy",
    "diou_loss",
    "distribution_focal_loss",
    "giou_loss",
    "iou_loss",
    "l1_loss",
    "linear_iou_loss",
    "mse_loss",
    "quality_focal_loss",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
    "varifocal_loss",
]
