"""Boxes cut out of a picture and resized to one size, all in one call on the picture's device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def whole_pixels(boxes: Tensor, width: int, height: int) -> Tensor:
    """Boxes (N, 4) inside of a picture of `width` x `height`, cut off to whole pixels, at least one of them.

    The result is x1 y1 x2 y2 with ends exclusive, integers in the boxes' type. A box outside of the picture
    becomes the nearest pixel of its border.
    """
    limit = boxes.new_tensor([width, height])
    first = torch.minimum(boxes[:, :2].clamp(min=0).trunc(), limit - 1)
    last = torch.minimum(boxes[:, 2:].clamp(min=0).trunc(), limit)
    return torch.cat([first, torch.maximum(last, first + 1)], 1)


def sample_boxes(image: Tensor, bounds: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize parts of one picture bilinearly, as if each had been cut out and resized alone.

    Nothing beyond a part's border is mixed in, other than RoIAlign does: samples stay between the centres of its
    first and last pixels, so the values are those of cutting and `interpolate(align_corners=False)`.

    Args:
        image: (3, H, W), float.
        bounds: (N, 4) from `whole_pixels`.
        size: (height, width) of the result.

    Returns:
        (N, 3, *size) in channels_last memory.
    """
    height, width = image.shape[-2:]
    bounds = bounds.to(image.dtype)
    y = _positions(bounds[:, 1], bounds[:, 3], size[0], height)  # (N, h)
    x = _positions(bounds[:, 0], bounds[:, 2], size[1], width)  # (N, w)
    shape = (len(bounds), *size)
    grid = torch.stack([x[:, None, :].expand(shape), y[:, :, None].expand(shape)], -1)
    parts = F.grid_sample(image.expand(len(bounds), -1, -1, -1), grid, padding_mode="border", align_corners=True)
    return parts.contiguous(memory_format=torch.channels_last)


def _positions(first: Tensor, end: Tensor, count: int, limit: int) -> Tensor:
    """Where `count` samples over pixels first..end-1 (N,) lie: (N, count), -1 and 1 the centres of the outer pixels."""
    steps = torch.arange(count, device=first.device, dtype=first.dtype) + 0.5
    position = first[:, None] + steps * ((end - first) / count)[:, None] - 0.5
    position = torch.minimum(torch.maximum(position, first[:, None]), end[:, None] - 1)
    return position * (2 / max(limit - 1, 1)) - 1


def resize_boxes(image: Tensor, bounds: Tensor, size: tuple[int, int]) -> Tensor:
    """As `sample_boxes` for whole numbers: bit by bit what OpenCV's bilinear resize makes of each part.

    OpenCV has weights of 11 bits and cuts off between the two directions, which differs from rounding the exact
    value by one in every ninth pixel.

    Args:
        image: (3, H, W) uint8.
        bounds: (N, 4) from `whole_pixels`.
        size: (height, width) of the result.

    Returns:
        (N, 3, *size) uint8 in channels_last memory.
    """
    pixels = image.permute(1, 2, 0)  # (H, W, 3)
    bounds = bounds.long()
    top, bottom, top_weight, bottom_weight = _taps(bounds[:, 1], bounds[:, 3], size[0])  # (N, h)
    left, right, left_weight, right_weight = _taps(bounds[:, 0], bounds[:, 2], size[1])  # (N, w)

    def across(rows: Tensor) -> Tensor:
        first, second = (pixels[rows[:, :, None], columns[:, None, :]].int() for columns in (left, right))
        mixed = first.mul_(left_weight[:, None, :, None]).add_(second.mul_(right_weight[:, None, :, None]))
        return mixed >> 4  # (N, h, w, 3)

    upper = across(top).mul_(top_weight[:, :, None, None]) >> 16
    lower = across(bottom).mul_(bottom_weight[:, :, None, None]) >> 16
    return (upper.add_(lower).add_(2) >> 2).to(torch.uint8).permute(0, 3, 1, 2)


def _taps(first: Tensor, end: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both neighbours of `count` samples over pixels first..end-1 (N,), and their weights in 1/2048: (N, count)."""
    length = (end - first)[:, None]
    step = 1.0 / (count / length.double())
    position = ((torch.arange(count, device=first.device) + 0.5) * step - 0.5).float()
    low = position.floor()
    weight = position - low
    below = low.long()
    neighbours = [torch.minimum(at.clamp(min=0), length - 1) + first[:, None] for at in (below, below + 1)]
    weights = [(part * 2048).round().int() for part in (1 - weight, weight)]
    return neighbours[0], neighbours[1], weights[0], weights[1]
