"""3x3 convolution of stride 1 with fewer multiplications (Winograd; Lavin and Gray, https://arxiv.org/abs/1509.09308).

F(4x4, 3x3): an output tile of 4x4 is 36 products per pair of channels instead of 144, done as 36 matrix
products. A dilated convolution is an undilated one on each of its dilation^2 phases. Results equal the
direct convolution's up to float32 rounding (relative errors of about 1e-5).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TILE, PATCH = 4, 6  # side of an output tile, and of the input that it depends on
STRIP = 3_000_000  # numbers in an intermediate result, 12 MB: more leave a cache of 32 MB, fewer waste time on calls

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
    """The 3x3 convolution of x (B, I, H, W), of stride 1, with a transformed weight (36, I, O); without gradients.

    Goes through strips of rows, whose intermediate results stay in the processor's cache.

    Returns:
        (B, O, H + 2 padding - 2 dilation, W + ...) in channels_last memory.
    """
    batch, channels, height, width = x.shape
    out_height, out_width = height + 2 * padding - 2 * dilation, width + 2 * padding - 2 * dilation
    side = TILE * dilation  # of the square that a tile of each phase makes together
    rows, columns = -(-out_height // side), -(-out_width // side)
    wide = batch * columns * dilation**2  # tiles in a row of squares
    most = max(STRIP // (wide * PATCH**2 * max(channels, weight.shape[2])), 1)
    step = -(-rows // -(-rows // most))  # rows of squares in a strip
    right = (columns * TILE + PATCH - TILE) * dilation - width - padding
    source = x.permute(0, 2, 3, 1)  # (B, H, W, I), a view of channels_last maps
    out = x.new_empty(batch, out_height, out_width, weight.shape[2])
    buffers = x.new_empty(2, PATCH**2 * step * wide * max(channels, weight.shape[2]))
    for start in range(0, rows * side, step * side):
        end = min(start + step * side, rows * side)
        top, bottom = start - padding, end - padding + (PATCH - TILE) * dilation
        strip = source[:, max(top, 0) : min(bottom, height)]
        strip = F.pad(strip, (0, 0, padding, right, max(-top, 0), max(bottom - height, 0)))
        tiles = _convolve_strip(strip, weight, dilation, buffers)  # (B, r, 4, d, columns, 4, d, O)
        target = out[:, start : min(end, out_height)]
        if out_width == columns * side and end <= out_height:
            target = target.view(tiles.shape)
        else:
            tiles = tiles.flatten(4, 6).flatten(1, 3)[:, : target.shape[1], :out_width]
        torch.add(tiles, bias, out=target) if bias is not None else target.copy_(tiles)
    return out.permute(0, 3, 1, 2)


def _convolve_strip(strip: Tensor, weight: Tensor, dilation: int, buffers: Tensor) -> Tensor:
    """Output tiles (B, rows, 4, d, columns, 4, d, O) of padded pixels (B, H, W, I), in one of the two buffers."""
    phases = strip.unflatten(2, (-1, dilation)).unflatten(1, (-1, dilation))  # (B, h, d, w, d, I)
    patches = phases.unfold(1, PATCH, TILE).unfold(3, PATCH, TILE)  # (B, rows, d, columns, d, I, 6, 6)
    batch, rows, _, columns, _, channels = patches.shape[:6]
    count, outputs = batch * rows * columns * dilation**2, weight.shape[2]
    patches = _shaped(buffers[0], *patches.shape[6:], *patches.shape[:6]).copy_(patches.permute(6, 7, 0, 1, 2, 3, 4, 5))
    points = _shaped(buffers[1], PATCH**2, count * channels)
    torch.mm(_both(INPUT, strip), patches.view(PATCH**2, -1), out=points)
    products = _shaped(buffers[0], PATCH**2, count, outputs)
    torch.bmm(points.view(PATCH**2, count, channels), weight, out=products)
    tiles = _shaped(buffers[1], TILE**2, count * outputs)
    torch.mm(_both(OUTPUT, strip), products.flatten(1), out=tiles)
    tiles = tiles.view(TILE, TILE, batch, rows, dilation, columns, dilation, outputs)
    return tiles.permute(2, 3, 0, 4, 5, 1, 6, 7)


def _shaped(buffer: Tensor, *shape: int) -> Tensor:
    """The beginning of a buffer, in a shape."""
    return buffer[: math.prod(shape)].view(shape)


def _both(matrix: Tensor, like: Tensor) -> Tensor:
    """The transform along rows and columns at once."""
    return torch.kron(matrix, matrix).to(like.device, like.dtype)
