"""Box coders: boxes as offsets from priors, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Centres(NamedTuple):
    """Boxes as centre and size, each (...)."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor


class DeltaCoder:
    """Centre offsets in parts of the prior's size, log ratios of sizes (R-CNN, https://arxiv.org/abs/1311.2524).

    Args:
        means, stds: codes are normalised with these, in the order x y w h.
        clip_ratio: no side grows or shrinks by more than 1 / `clip_ratio` when decoding.
        clip_border: decoded boxes end at the border of the image that `decode` is told.
    """

    margin = 0  # boxes are clipped to this much less than the size of the image

    def __init__(
        self,
        means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        *,
        clip_ratio: float = 16 / 1000,
        clip_border: bool = True,
    ) -> None:
        self.means, self.stds = tuple(means), tuple(stds)
        self.largest_log_ratio = abs(math.log(clip_ratio))
        self.clip_border = clip_border

    def encode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        """Codes (..., 4) of boxes (..., 4) xyxy relative to priors (..., 4) xyxy."""
        p, b = self.to_centres(priors), self.to_centres(boxes)
        codes = torch.stack(
            [
                (b.x - p.x) / p.width,
                (b.y - p.y) / p.height,
                torch.log(b.width / p.width),
                torch.log(b.height / p.height),
            ],
            dim=-1,
        )
        return (codes - codes.new_tensor(self.means)) / codes.new_tensor(self.stds)

    def decode(self, priors: Tensor, codes: Tensor, max_size: tuple[int, int] | None = None) -> Tensor:
        """Boxes xyxy of `codes`, in their shape.

        Args:
            priors: (..., 4) xyxy.
            codes: (..., 4) or (..., C * 4), several codes per prior.
            max_size: (height, width) that boxes are clipped to.
        """
        shape = codes.shape
        codes = codes.unflatten(-1, (-1, 4))  # (..., C, 4)
        codes = codes * codes.new_tensor(self.stds) + codes.new_tensor(self.means)
        p = self.to_centres(priors[..., None, :])
        size = torch.stack((p.width, p.height), dim=-1)
        move, log_ratio = self.bound(codes[..., :2] * size, codes[..., 2:])
        width, height = (size * log_ratio.exp()).unbind(-1)
        boxes = self.from_centres(Centres(p.x + move[..., 0], p.y + move[..., 1], width, height)).reshape(shape)
        if max_size is None or not self.clip_border:
            return boxes
        return clip_boxes(boxes, (max_size[0] - self.margin, max_size[1] - self.margin))

    def bound(self, move: Tensor, log_ratio: Tensor) -> tuple[Tensor, Tensor]:
        """How far a decoded box may be from its prior: moves in pixels and logarithms of sizes, (..., 2) each."""
        return move, log_ratio.clamp(-self.largest_log_ratio, self.largest_log_ratio)

    def to_centres(self, boxes: Tensor) -> Centres:
        """Centre and size of boxes (..., 4) xyxy."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        return Centres((x1 + x2) * 0.5, (y1 + y2) * 0.5, x2 - x1, y2 - y1)

    def from_centres(self, boxes: Centres) -> Tensor:
        """Boxes (..., 4) xyxy from centre and size."""
        half_width, half_height = boxes.width * 0.5, boxes.height * 0.5
        return torch.stack(
            [boxes.x - half_width, boxes.y - half_height, boxes.x + half_width, boxes.y + half_height], dim=-1
        )


class LegacyDeltaCoder(DeltaCoder):
    """As `DeltaCoder` for checkpoints of the pixel-counting age: a box's last row and column belong to it.

    Decoded boxes are half a pixel larger on each side than encoded ones: the published accuracy of converted
    checkpoints is measured so, and is higher for it.
    """

    margin = 1

    def to_centres(self, boxes: Tensor) -> Centres:
        x1, y1, x2, y2 = boxes.unbind(-1)
        return Centres((x1 + x2) * 0.5, (y1 + y2) * 0.5, x2 - x1 + 1, y2 - y1 + 1)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) or (..., C * 4) xyxy, each coordinate within an image of (height, width)."""
    height, width = size
    pairs = boxes.unflatten(-1, (-1, 2))
    return torch.stack([pairs[..., 0].clamp(0, width), pairs[..., 1].clamp(0, height)], dim=-1).flatten(-2)
