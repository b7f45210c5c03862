"""Stochastic depth (https://arxiv.org/abs/1603.09382)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Samples (B, ...) that skip a branch in training with the probability `rate`; the others grow by what is lost."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        keep = 1 - self.rate
        kept = torch.rand(len(x), *(1,) * (x.ndim - 1), device=x.device) < keep
        return x * kept / keep
