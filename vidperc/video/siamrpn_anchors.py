"""Anchors of SiamRPN and the choice among their boxes (https://arxiv.org/abs/1812.11703; SiamRPN, CVPR 2018)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_RATIO_LIMIT = abs(math.log(16 / 1000))  # a code never changes a side by more than this factor's logarithm


@dataclass(frozen=True)
class AnchorGrid:
    """Anchors of some shapes at every position of a map, about the search region's centre.

    Args:
        stride: pixels of the search region between positions.
        scale: side of the square anchor in strides.
        ratios: height / width of each of the A shapes.
    """

    stride: int = 8
    scale: float = 8
    ratios: tuple[float, ...] = (0.33, 0.5, 1, 2, 3)

    def shapes(self) -> list[tuple[float, float]]:
        """(width, height) of each shape; sides are cut to whole pixels before scaling."""
        roots = [math.sqrt(ratio) for ratio in self.ratios]
        return [(int(self.stride / root) * self.scale, int(self.stride * root) * self.scale) for root in roots]

    def boxes(self, height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
        """(H * W * A, 4) anchors as center x, center y, width, height; position by position."""
        ys = (torch.arange(height, device=device) - height // 2) * float(self.stride)
        xs = (torch.arange(width, device=device) - width // 2) * float(self.stride)
        shapes = torch.tensor(self.shapes(), dtype=torch.float32, device=device)  # (A, 2)
        grid = torch.stack(torch.meshgrid(ys, xs, indexing="ij")[::-1], -1)  # (H, W, 2) x, y
        grid = grid[:, :, None].expand(-1, -1, len(shapes), -1)
        return torch.cat([grid, shapes.expand(height, width, -1, -1)], -1).reshape(-1, 4)


@dataclass(frozen=True)
class PySOTAnchorGrid(AnchorGrid):
    """Anchors as PySOT has them: a height is that of the width in whole pixels, so the tall are 40x80 and 32x96."""

    def shapes(self) -> list[tuple[float, float]]:
        widths = [int(self.stride / math.sqrt(ratio)) for ratio in self.ratios]
        return [(width * self.scale, int(width * ratio) * self.scale) for width, ratio in zip(widths, self.ratios)]


def hanning_window(height: int, width: int, anchors: int, device: torch.device | str = "cpu") -> Tensor:
    """(H * W * A,) cosine window, 1 in the middle and 0 at the border, one value for the anchors of a position."""
    rows = torch.hann_window(height, periodic=False, device=device)
    columns = torch.hann_window(width, periodic=False, device=device)
    return (rows[:, None] * columns).reshape(-1).repeat_interleave(anchors)


def flatten_maps(maps: Tensor, channels: int) -> Tensor:
    """(B, channels * A, H, W) to (B, H * W * A, channels), in the order of `AnchorGrid.boxes`."""
    batch, _, height, width = maps.shape
    return maps.reshape(batch, channels, -1, height, width).permute(0, 3, 4, 2, 1).reshape(batch, -1, channels)


def decode(anchors: Tensor, codes: Tensor) -> Tensor:
    """Boxes (..., 4) as center x, center y, width, height from anchors of that form and codes dx dy dw dh."""
    size = anchors[..., 2:]
    log_size = codes[..., 2:].clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return torch.cat([anchors[..., :2] + codes[..., :2] * size, size * log_size.exp()], -1)


def encode(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Codes that `decode` turns into `boxes`."""
    size = anchors[..., 2:]
    return torch.cat([(boxes[..., :2] - anchors[..., :2]) / size, (boxes[..., 2:] / size).log()], -1)


def padded_size(sizes: Tensor) -> Tensor:
    """Side of the square of a box with its context: sqrt((w + p)(h + p)), p = (w + h) / 2; sizes (..., 2)."""
    padding = sizes.sum(-1) * 0.5
    return ((sizes[..., 0] + padding) * (sizes[..., 1] + padding)).sqrt()


def shape_penalty(sizes: Tensor, previous: Tensor, strength: float) -> Tensor:
    """In (0, 1]: low where a box (..., 2) differs much in size and aspect from `previous` (..., 2)."""
    scale = padded_size(sizes) / padded_size(previous)
    aspect = (previous[..., 0] / previous[..., 1]) / (sizes[..., 0] / sizes[..., 1])
    change = torch.maximum(scale, 1 / scale) * torch.maximum(aspect, 1 / aspect)
    return torch.exp((1 - change) * strength)


@dataclass(frozen=True)
class Postprocessor:
    """Choose one box per object: penalise changes of shape, prefer the middle, smooth the size.

    Args:
        penalty: strength of the shape penalty.
        window_influence: share of the cosine window in the choice.
        size_rate: how fast the size follows, at score 1 without a penalty.

    Raises:
        ValueError: a number out of its range.
    """

    penalty: float = 0.05
    window_influence: float = 0.42
    size_rate: float = 0.38

    def __post_init__(self) -> None:
        for name, most in (("penalty", math.inf), ("window_influence", 1), ("size_rate", 1)):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and 0 <= value <= most):
                raise ValueError(f"{name}: expected a number from 0 to {most}, got {value!r}")

    def __call__(
        self, logits: Tensor, codes: Tensor, anchors: Tensor, window: Tensor, boxes: Tensor, scales: Tensor
    ) -> tuple[Tensor, Tensor]:
        """New boxes (B, 4) in the picture as center x, center y, width, height, and their scores (B,).

        Where nothing finite can be chosen the box stays, with score 0.

        Args:
            logits, codes: (B, K, 2), (B, K, 4) of the K anchors.
            anchors, window: (K, 4), (K,).
            boxes: (B, 4) the previous boxes in the picture, as center and size.
            scales: (B,) pixels of the search region per pixel of the picture.
        """
        scores = logits.softmax(-1)[..., 1]  # (B, K)
        candidates = decode(anchors, codes)  # (B, K, 4)
        penalty = shape_penalty(candidates[..., 2:], (boxes[:, 2:] * scales[:, None])[:, None], self.penalty)
        ranks = penalty * scores * (1 - self.window_influence) + window * self.window_influence
        ranks = torch.where(torch.isfinite(ranks) & torch.isfinite(candidates).all(-1), ranks, -torch.inf)
        rank, best = ranks.max(-1)  # (B,)
        score = scores.gather(1, best[:, None])[:, 0]
        chosen = candidates.gather(1, best[:, None, None].expand(-1, 1, 4))[:, 0] / scales[:, None]
        rate = (penalty.gather(1, best[:, None])[:, 0] * score * self.size_rate)[:, None]
        moved = torch.cat([boxes[:, :2] + chosen[:, :2], torch.lerp(boxes[:, 2:], chosen[:, 2:], rate)], -1)
        found = torch.isfinite(rank)
        return torch.where(found[:, None], moved, boxes), torch.where(found, score, 0.0)


def to_corners(boxes: Tensor) -> Tensor:
    """Center x, center y, width, height (..., 4) to xyxy."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def to_centers(boxes: Tensor) -> Tensor:
    """xyxy (..., 4) to center x, center y, width, height."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)
