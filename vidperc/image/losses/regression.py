"""Losses of codes and other numbers; all give one value per element."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F


def l1_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Absolute difference."""
    return (prediction - target).abs()


def mse_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared difference."""
    return (prediction - target).square()


def smooth_l1_loss(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """Quadratic up to a difference of `beta`, absolute above (Fast R-CNN, https://arxiv.org/abs/1504.08083)."""
    return F.smooth_l1_loss(prediction, target, reduction="none", beta=beta)


def balanced_l1_loss(
    prediction: Tensor, target: Tensor, alpha: float = 0.5, gamma: float = 1.5, beta: float = 1.0
) -> Tensor:
    """L1 with more gradient for small errors (Libra R-CNN, https://arxiv.org/abs/1904.02701, section 3.3)."""
    error = (prediction - target).abs()
    b = math.exp(gamma / alpha) - 1
    small = alpha / b * (b * error + 1) * (b * error / beta + 1).log() - alpha * error
    return small.where(error < beta, gamma * error + gamma / b - alpha * beta)


def distribution_focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy with the two whole numbers beside a target (GFL, https://arxiv.org/abs/2006.04388, section 3.2).

    Args:
        logits: (N, K) of the values 0 to K - 1.
        target: (N,) between 0 and K - 1, exclusive.
    """
    left = target.long()
    weight = target - left
    log_scores = logits.log_softmax(-1)
    beside = [log_scores.gather(-1, (left + i)[:, None])[:, 0] for i in (0, 1)]
    return -(beside[0] * (1 - weight) + beside[1] * weight)
