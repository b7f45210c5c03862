"""3x3 convolution of stride 1 with fewer multiplications (Winograd; Lavin and Gray, https://arxiv.org/abs/1509.09308).

F(4x4, 3x3): an output tile of 4x4 is 36 products per pair of channels instead of 144, done as 36 matrix
products. A dilated convolution is an undilated one on each of its dilation^2 phases. Results equal the
direct convolution's up to float32 rounding (relative errors of about 1e-5).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

TILE, PATCH = 4, 6  # side of an output tile, and of the input that it depends on

# Rows evaluate at the points 0, 1, -1, 2, -2 and infinity.
INPUT = torch.tensor(
    [[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
     [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1]], dtype=torch.float64,
)  # fmt: skip
KERNEL = torch.tensor(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
     [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]], dtype=torch.float64,
)  # fmt: skip
OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)


def transform_weight(weight: Tensor) -> Tensor:
    """A convolution's weight (O, I, 3, 3) as the 36 matrices (36, I, O) that `winograd_conv` takes."""
    out_channels, in_channels = weight.shape[:2]
    flat = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (_both(KERNEL, weight) @ flat).view(PATCH * PATCH, in_channels, out_channels)


def winograd_conv(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, dilation: int) -> Tensor:
    """The 3x3 convolution of x (B, I, H, W), of stride 1, with a transformed weight (36, I, O).

    Returns:
        (B, O, H + 2 padding - 2 dilation, W + ...) in channels_last memory.
    """
    batch, channels, height, width = x.shape
    out_height, out_width = height + 2 * padding - 2 * dilation, width + 2 * padding - 2 * dilation
    rows, columns = -(-out_height // (TILE * dilation)), -(-out_width // (TILE * dilation))
    need = [(count * TILE + PATCH - TILE) * dilation for count in (rows, columns)]
    right, bottom = need[1] - width - padding, need[0] - height - padding
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, right, padding, bottom))  # (B, H', W', I)
    phases = padded.unflatten(2, (-1, dilation)).unflatten(1, (-1, dilation))  # (B, h, d, w, d, I)
    tiles = phases.unfold(1, PATCH, TILE).unfold(3, PATCH, TILE)  # (B, rows, d, columns, d, I, 6, 6)
    tiles = tiles.permute(6, 7, 0, 1, 2, 3, 4, 5).reshape(PATCH * PATCH, -1)
    points = (_both(INPUT, x) @ tiles).view(PATCH * PATCH, -1, channels)  # (36, B rows d columns d, I)
    products = torch.bmm(points, weight).flatten(1)  # (36, B rows d columns d O)
    out = (_both(OUTPUT, x) @ products).view(TILE, TILE, batch, rows, dilation, columns, dilation, -1)
    out = out.permute(2, 3, 0, 4, 5, 1, 6, 7)  # (B, rows, 4, d, columns, 4, d, O)
    out = out.reshape(batch, rows * TILE * dilation, columns * TILE * dilation, -1)[:, :out_height, :out_width]
    out = out.contiguous() if bias is None else out + bias
    return out.permute(0, 3, 1, 2)


def _both(matrix: Tensor, like: Tensor) -> Tensor:
    """The transform along rows and columns at once."""
    return torch.kron(matrix, matrix).to(like.device, like.dtype)
