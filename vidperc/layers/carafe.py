"""Upsampling by what a map shows (CARAFE, https://arxiv.org/abs/1905.02188)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.reassemble import reassemble

SCALE = 2


class CARAFE(nn.Module):
    """Maps (B, D, H, W) to (B, D, 2 H, 2 W), every new pixel by a kernel predicted from the map.

    Args:
        channels: D.
        hidden: channels that the kernels are predicted from.
        size: side of the kernels.
    """

    def __init__(self, channels: int, *, hidden: int = 64, size: int = 5) -> None:
        super().__init__()
        self.channel_compressor = nn.Conv2d(channels, hidden, 1)
        self.content_encoder = nn.Conv2d(hidden, SCALE**2 * size**2, 3, padding=1)
        nn.init.xavier_uniform_(self.channel_compressor.weight)
        nn.init.normal_(self.content_encoder.weight, std=0.001)
        for layer in (self.channel_compressor, self.content_encoder):
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        kernels = F.pixel_shuffle(self.content_encoder(self.channel_compressor(x)), SCALE).softmax(1)
        dtype = torch.promote_types(x.dtype, kernels.dtype)
        return reassemble(x.to(dtype), kernels.to(dtype), SCALE)
