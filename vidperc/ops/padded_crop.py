"""Square crops about boxes, with zeros and a mark where they leave the picture (STARK, arXiv 2103.17154, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..structures import Frame
from .crop import outside_samples, sample_windows


@dataclass(slots=True)
class PaddedCrop(Frame):
    """A frame that is such a crop."""

    padding: Tensor | None = None  # (H, W) bool, true outside of the picture


def crop_sides(sizes: Tensor, factor: float) -> Tensor:
    """Side (N,) in whole pixels of the squares for boxes of `sizes` (N, 2): `factor` times the root of the area."""
    return (sizes.prod(1).double().sqrt() * factor).ceil().float()


def padded_crops(image: Tensor, boxes: Tensor, factor: float, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Squares about the centres of boxes, cut out and resized bilinearly.

    As published, the last row and column of the picture count as outside of it.

    Args:
        image: (3, H, W), uint8 or float.
        boxes: (N, 4) center x, center y, width, height.
        factor: side of a square over the root of its box's area.
        size: side of the result.

    Returns:
        Crops (N, 3, size, size) float32 in channels_last memory, 0 outside of the picture; padding
        (N, size, size) bool, true there; the squares' sides (N,) in pixels of the picture.
    """
    sides = crop_sides(boxes[:, 2:], factor)
    first = (boxes[:, :2] - sides[:, None] / 2).round()
    bounds = torch.cat([first, first + sides[:, None] - 1], 1)
    picture = image[:, : max(image.shape[1] - 1, 1), : max(image.shape[2] - 1, 1)]
    crops = sample_windows(picture, bounds, size, bounds.new_zeros(len(boxes), 3))
    return crops, outside_samples(bounds, size, picture.shape[2], picture.shape[1]), sides
