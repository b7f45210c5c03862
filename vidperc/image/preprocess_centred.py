"""Preprocessing of CornerNet and its successors: pictures in the middle of a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..structures import ImageList
from .preprocess import Image, Preprocessor

LOW_BITS = 127  # sides of a tested batch end with these


def border(size: tuple[int, int], padded: tuple[int, int]) -> tuple[int, int]:
    """Rows above and columns left of a picture of `size` (height, width) in the middle of a batch."""
    return padded[0] // 2 - size[0] // 2, padded[1] // 2 - size[1] // 2


@dataclass(frozen=True)
class CentredPreprocessor(Preprocessor):
    """As `Preprocessor`; to be tested, pictures are in the middle of the next size whose seven low bits are set.

    A side that is such a size already loses its last row or column, as published.
    """

    test_scale: tuple[int, int] | None = None
    pad_divisor: int = 1
    float_resize: bool = True

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        height, width = self.target_size(height, width)
        return height | LOW_BITS, width | LOW_BITS

    def __call__(self, images: Sequence[Image], device: torch.device | str = "cpu") -> ImageList:
        batch = super().__call__(images, device)
        height, width = (side | LOW_BITS for side in batch.padded_size)
        out = torch.full((len(batch), height, width, 3), self.pad_value, device=device).permute(0, 3, 1, 2)
        for row, picture, (h, w) in zip(out, batch.tensor, batch.sizes):
            top, left = border((h, w), (height, width))
            h, w = min(h, h // 2 + height // 2), min(w, w // 2 + width // 2)
            row[:, top : top + h, left : left + w] = picture[:, :h, :w]
        return ImageList(out, batch.sizes, batch.original_sizes, batch.scales)
