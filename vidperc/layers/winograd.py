"""3x3 convolution of stride 1 with fewer multiplications (Winograd; Lavin and Gray, https://arxiv.org/abs/1509.09308).

F(4x4, 3x3): an output tile of 4x4 is 36 products per pair of channels instead of 144, done as 36 matrix
products. A dilated convolution is an undilated one on each of its dilation^2 phases.

The points at which the polynomials are evaluated, 0, 2/3, -2/3, 3/2, -3/2 and infinity, round half as coarsely as
the usual 1, -1, 2, -2: results are within 1e-6 (root mean square, relative) of the exact ones, those of a direct
convolution within 2e-7. With products in bfloat16 it would be 1.2e-2 and 3e-3.
"""

from __future__ import annotations

import math
import time
from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from .packed_conv import PackedProducts, can_pack, linear

TILE, PATCH = 4, 6  # side of an output tile, and of the input that it depends on
POINTS = (0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)  # and infinity
STRIP = 2_000_000  # numbers in an intermediate result, 8 MB: more leave a cache of 32 MB, fewer waste time on calls
LEAST_TILES = 64  # in a strip, or reading the weights takes longer than multiplying by them
LARGEST_BATCHED = 2**20  # numbers in each of the matrices: torch.bmm copies them at every call, 36 times 4 MB


class Products(Protocol):
    """Multiplication by 36 fixed matrices."""

    out_channels: int

    def __call__(self, points: Tensor, out: Tensor) -> None:
        """Write the products (36, M, O) with points (36, M, I) to `out`."""
        ...


class BatchedProducts:
    """Products with matrices (36, I, O) as they are."""

    def __init__(self, matrices: Tensor) -> None:
        self.matrices, self.out_channels = matrices, matrices.shape[2]

    def __call__(self, points: Tensor, out: Tensor) -> None:
        torch.bmm(points, self.matrices, out=out)


def _powers(count: int) -> Tensor:
    """(6, count): a polynomial's values at the points from its coefficients; at infinity the last coefficient."""
    points = torch.tensor(POINTS, dtype=torch.float64)
    last = torch.zeros(1, count, dtype=torch.float64)
    last[0, -1] = 1
    return torch.cat([points[:, None] ** torch.arange(count), last])


def _both(matrix: Tensor) -> Tensor:
    """The transform along rows and columns at once."""
    return torch.kron(matrix, matrix)


# A correlation is the transpose of a product of polynomials: values at the points, multiplied, interpolated.
INPUT = _both(torch.linalg.inv(_powers(PATCH)).T)  # (36, 36)
KERNEL = _both(_powers(3))  # (36, 9)
OUTPUT = _both(_powers(TILE).T)  # (16, 36)


def transform_weight(weight: Tensor) -> Tensor:
    """A convolution's weight (O, I, 3, 3) as 36 matrices (36, I, O)."""
    out_channels, in_channels = weight.shape[:2]
    flat = weight.permute(2, 3, 1, 0).reshape(9, -1)
    return (KERNEL.to(weight) @ flat).view(PATCH * PATCH, in_channels, out_channels)


def packed_products(weight: Tensor) -> Products:
    """Multiplication by a convolution's transformed weight (O, I, 3, 3), alike on processors of all makers."""
    matrices = transform_weight(weight)
    return PackedProducts(matrices) if can_pack(weight.device) else BatchedProducts(matrices)


def fastest_products(weight: Tensor) -> Products:
    """As `packed_products`, or by torch where that is faster, with other rounding."""
    small = weight.shape[0] * weight.shape[1] <= LARGEST_BATCHED
    if can_pack(weight.device) and small and batched_is_faster():
        return BatchedProducts(transform_weight(weight))
    return packed_products(weight)


@cache
def batched_is_faster() -> bool:
    """Whether `torch.bmm` multiplies faster than packed matrices do on this CPU, tried out once in a process.

    MKL, which torch takes for it, is fast on one maker's processors: twice as fast there, half as fast elsewhere.
    """
    with torch.inference_mode():
        points, matrices = torch.ones(PATCH**2, LEAST_TILES, 256), torch.ones(PATCH**2, 256, 256)
        out = torch.empty_like(points)
        ways: list[Products] = [BatchedProducts(matrices), PackedProducts(matrices)]
        batched, packed = (
            min(times) for times in zip(*([_seconds(way, points, out) for way in ways] for _ in range(9)))
        )
    return batched < packed


def _seconds(products: Products, points: Tensor, out: Tensor) -> float:
    began = time.perf_counter()
    products(points, out)
    return time.perf_counter() - began


def winograd_conv(x: Tensor, products: Products, bias: Tensor | None, padding: int, dilation: int) -> Tensor:
    """The 3x3 convolution of x (B, I, H, W), of stride 1, without gradients.

    `products` multiplies by its transformed weight.

    Goes through strips of rows, whose intermediate results stay in the processor's cache.

    Returns:
        (B, O, H + 2 padding - 2 dilation, W + ...) in channels_last memory.
    """
    batch, channels, height, width = x.shape
    out_height, out_width = height + 2 * padding - 2 * dilation, width + 2 * padding - 2 * dilation
    side = TILE * dilation  # of the square that a tile of each phase makes together
    rows, columns = -(-out_height // side), -(-out_width // side)
    wide = batch * columns * dilation**2  # tiles in a row of squares
    most = max(STRIP // (wide * PATCH**2 * max(channels, products.out_channels)), -(-LEAST_TILES // wide))
    step = -(-rows // -(-rows // most))  # rows of squares in a strip
    right = (columns * TILE + PATCH - TILE) * dilation - width - padding
    source = x.permute(0, 2, 3, 1)  # (B, H, W, I), a view of channels_last maps
    out = x.new_empty(batch, out_height, out_width, products.out_channels)
    buffer = x.new_empty(PATCH**2 * step * wide * max(channels, products.out_channels))
    for start in range(0, rows * side, step * side):
        end = min(start + step * side, rows * side)
        top, bottom = start - padding, end - padding + (PATCH - TILE) * dilation
        strip = source[:, max(top, 0) : min(bottom, height)]
        strip = F.pad(strip, (0, 0, padding, right, max(-top, 0), max(bottom - height, 0)))
        tiles = _convolve_strip(strip, products, dilation, buffer)  # (B, r, 4, d, columns, 4, d, O)
        target = out[:, start : min(end, out_height)]
        if out_width == columns * side and end <= out_height:
            target = target.view(tiles.shape)
        else:
            tiles = tiles.flatten(4, 6).flatten(1, 3)[:, : target.shape[1], :out_width]
        torch.add(tiles, bias, out=target) if bias is not None else target.copy_(tiles)
    return out.permute(0, 3, 1, 2)


def _convolve_strip(strip: Tensor, products: Products, dilation: int, buffer: Tensor) -> Tensor:
    """Output tiles (B, rows, 4, d, columns, 4, d, O) of padded pixels (B, H, W, I)."""
    phases = strip.unflatten(2, (-1, dilation)).unflatten(1, (-1, dilation))  # (B, h, d, w, d, I)
    patches = phases.unfold(1, PATCH, TILE).unfold(3, PATCH, TILE)  # (B, rows, d, columns, d, I, 6, 6)
    batch, rows, _, columns, _, channels = patches.shape[:6]
    count, outputs = batch * rows * columns * dilation**2, products.out_channels
    patches = _shaped(buffer, *patches.shape[6:], *patches.shape[:6]).copy_(patches.permute(6, 7, 0, 1, 2, 3, 4, 5))
    points = linear(INPUT.to(strip), patches.view(PATCH**2, -1).t())  # (36, tiles I)
    multiplied = _shaped(buffer, PATCH**2, count, outputs)
    products(points.view(PATCH**2, count, channels), multiplied)
    tiles = linear(OUTPUT.to(strip), multiplied.flatten(1).t())  # (16, tiles O)
    tiles = tiles.view(TILE, TILE, batch, rows, dilation, columns, dilation, outputs)
    return tiles.permute(2, 3, 0, 4, 5, 1, 6, 7)


def _shaped(buffer: Tensor, *shape: int) -> Tensor:
    """The beginning of a buffer, in a shape."""
    return buffer[: math.prod(shape)].view(shape)


class WinogradConv:
    """A 3x3 convolution of stride 1 with fixed weights, with a ReLU where asked for.

    Args:
        weight: (O, I, 3, 3) in float32; its transform takes four times its memory.
        bias: (O,) or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, padding: int, dilation: int, *, relu: bool = False) -> None:
        self.bias, self.padding, self.dilation, self.relu = bias, padding, dilation, relu
        self.products = fastest_products(weight)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, O, H', W') of x (B, I, H, W), in channels_last memory."""
        out = winograd_conv(x, self.products, self.bias, self.padding, self.dilation)
        return out.relu_() if self.relu else out
