"""Losses of class scores; all take logits and give one value per element, cross entropy one per row."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross entropy of logits (N, C) and labels (N,), one value per row."""
    return F.cross_entropy(logits, labels, reduction="none")


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Sigmoid cross entropy with targets in [0, 1] of the same shape."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def one_hot(labels: Tensor, classes: int, dtype_like: Tensor) -> Tensor:
    """(N,) labels, background where they are not in [0, C), to (N, C)."""
    out = dtype_like.new_zeros(len(labels), classes)
    row = ((labels >= 0) & (labels < classes)).nonzero()[:, 0]
    out[row, labels[row]] = 1
    return out


def sigmoid_focal_loss(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss (https://arxiv.org/abs/1708.02002, section 3.2).

    Args:
        logits: (N, C).
        labels: (N,), background where not in [0, C).

    Returns:
        (N, C)
    """
    return binary_focal_loss(logits, one_hot(labels, logits.shape[1], logits), alpha, gamma)


def binary_focal_loss(logits: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The focal loss with targets 0 and 1 of the same shape, as of masks."""
    scores = logits.sigmoid()
    wrong = scores + target - 2 * scores * target  # 1 - p_t
    weight = (alpha * target + (1 - alpha) * (1 - target)) * wrong**gamma
    return weight * binary_cross_entropy(logits, target)


def quality_focal_loss(logits: Tensor, labels: Tensor, quality: Tensor, beta: float = 2.0) -> Tensor:
    """Focal loss with a quality in [0, 1] as the target of the true class (GFL, https://arxiv.org/abs/2006.04388).

    Args:
        logits: (N, C); labels: (N,), background where not in [0, C); quality: (N,).

    Returns:
        (N, C)
    """
    target = one_hot(labels, logits.shape[1], logits) * quality[:, None]
    return (target - logits.sigmoid()).abs() ** beta * binary_cross_entropy(logits, target)


def varifocal_loss(logits: Tensor, target: Tensor, alpha: float = 0.75, gamma: float = 2.0) -> Tensor:
    """Cross entropy weighted by the target where there is one, focal elsewhere (https://arxiv.org/abs/2008.13367).

    Args:
        logits, target: (N, C), the target an IoU at the true class, else 0.
    """
    focal = alpha * (logits.sigmoid() - target).abs() ** gamma
    return target.where(target > 0, focal) * binary_cross_entropy(logits, target)
