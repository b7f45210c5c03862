"""Positional encodings of image features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class SinePositionalEncoding(nn.Module):
    """Sines and cosines of the y and x position inside the unpadded image (https://arxiv.org/abs/2005.12872).

    Args:
        num_feats: channels of each axis; the encoding has twice as many.
        temperature: the longest wave is this times 2 pi.
        normalize: positions run to `scale` over the image, whatever its size.
        offset: added to positions that count from 1; Deformable DETR has -0.5, pixel centres.
    """

    def __init__(
        self,
        num_feats: int = 128,
        *,
        temperature: float = 10000.0,
        normalize: bool = True,
        scale: float = 2 * math.pi,
        offset: float = 0.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.num_feats, self.temperature, self.normalize = num_feats, temperature, normalize
        self.scale, self.offset, self.eps = scale, offset, eps

    def forward(self, padding: Tensor) -> Tensor:
        """(B, H, W) bool, true where padded, to (B, 2 * num_feats, H, W)."""
        valid = (~padding).float()
        y, x = valid.cumsum(1), valid.cumsum(2)
        if self.normalize:
            y = (y + self.offset) / (y[:, -1:] + self.eps) * self.scale
            x = (x + self.offset) / (x[:, :, -1:] + self.eps) * self.scale
        return torch.cat((self._waves(y), self._waves(x)), dim=3).permute(0, 3, 1, 2)

    def _waves(self, position: Tensor) -> Tensor:
        """(B, H, W) to (B, H, W, num_feats): sine and cosine in turn."""
        index = torch.arange(self.num_feats, dtype=torch.float32, device=position.device)
        period = self.temperature ** (2 * (index // 2) / self.num_feats)
        angle = position[..., None] / period
        return torch.stack((angle[..., 0::2].sin(), angle[..., 1::2].cos()), dim=4).flatten(3)
