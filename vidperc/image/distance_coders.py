"""Coders of boxes as distances from a point to the left, upper, right and lower side (FCOS and its successors)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops.boxes import box_centres


def boxes_around(points: Tensor, distances: Tensor) -> Tensor:
    """Boxes (..., 4) xyxy of points (..., 2) and distances (..., 4) in the same unit."""
    return torch.cat((points - distances[..., :2], points + distances[..., 2:]), dim=-1)


def distances_to(points: Tensor, boxes: Tensor) -> Tensor:
    """Distances (..., 4) from points (..., 2) to the sides of boxes (..., 4), negative where outside."""
    return torch.cat((points - boxes[..., :2], boxes[..., 2:] - points), dim=-1)


def anchor_points(anchors: Tensor, scale: float = 8.0) -> Tensor:
    """The points (..., 3) x, y, stride that square anchors (..., 4) of `scale` strides stand for."""
    return torch.cat((box_centres(anchors), (anchors[..., 2:3] - anchors[..., :1]) / scale), dim=-1)


def centerness(distances: Tensor) -> Tensor:
    """How central a point is: 1 in the middle of its box, 0 at a side (FCOS, equation 3). (..., 4) to (...)."""
    x, y = distances[..., 0::2], distances[..., 1::2]
    ratio = x.amin(-1) / x.amax(-1) * (y.amin(-1) / y.amax(-1))
    return ratio.clamp(min=0).sqrt()


class DistanceCoder:
    """Distances in pixels. Priors are points (..., 3)."""

    margin = 0

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor:
        """Boxes (..., 4) of codes (..., 4)."""
        return boxes_around(priors[..., :2], codes)

    def encode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        """Codes (..., 4) of boxes (..., 4)."""
        return distances_to(priors[..., :2], boxes)


class StrideDistanceCoder(DistanceCoder):
    """Distances in strides of the point's level."""

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor:
        return boxes_around(priors[..., :2], codes * priors[..., 2:])

    def encode(self, priors: Tensor, boxes: Tensor) -> Tensor:
        return distances_to(priors[..., :2], boxes) / priors[..., 2:]
