"""Content-aware reassembly (CARAFE, https://arxiv.org/abs/1905.02188, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def reassemble(x: Tensor, kernels: Tensor, scale: int) -> Tensor:
    """Enlarge maps; each new pixel is a weighted sum of those around the pixel that it lies in, zeros outside.

    Args:
        x: (B, D, H, W).
        kernels: (B, k * k, scale * H, scale * W), k odd: the weights of the k rows and columns around.
        scale: of both sides.

    Returns:
        (B, D, scale * H, scale * W)

    Raises:
        ValueError: the kernels are of another size, or not of an odd k.
    """
    (batch, channels, height, width), size = x.shape, round(kernels.shape[1] ** 0.5)
    if kernels.shape != (batch, size * size, scale * height, scale * width) or size % 2 == 0:
        raise ValueError(f"kernels {tuple(kernels.shape)} do not enlarge maps {tuple(x.shape)} by {scale}")
    x = x.contiguous(memory_format=torch.channels_last)
    padded = F.pad(x, [size // 2] * 4).permute(0, 2, 3, 1)  # (B, H + k - 1, W + k - 1, D)
    weights = kernels.view(batch, size, size, height, scale, width, scale, 1)
    out = x.new_zeros(batch, height, scale, width, scale, channels)
    for row in range(size):
        for column in range(size):
            around = padded[:, row : row + height, None, column : column + width, None]
            out.addcmul_(around, weights[:, row, column])
    return out.view(batch, scale * height, scale * width, channels).permute(0, 3, 1, 2)
