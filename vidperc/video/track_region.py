"""What is of interest: a region of the picture, shapes of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Region:
    """The inside of a polygon (P, 2) of x y corners in pixels, or of a box x1 y1 x2 y2.

    Raises:
        ValueError: fewer than three corners, or coordinates that are not finite.
    """

    def __init__(self, corners: Sequence[Sequence[float]] | Sequence[float] | NDArray[np.floating]) -> None:
        points = np.asarray(corners, np.float64)
        if points.shape == (4,):
            x1, y1, x2, y2 = points
            points = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise ValueError(f"region: expected a box x1 y1 x2 y2 or at least 3 corners x y, got {corners!r}")
        self.corners = points

    def contains(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether each of the points (N, 2) is inside: (N,); even-odd rule."""
        x, y = points[:, :1], points[:, 1:]
        (x1, y1), (x2, y2) = self.corners.T, np.roll(self.corners, -1, 0).T
        spans = (y1 > y) != (y2 > y)  # (N, P)
        slope = (x2 - x1) / np.where(y2 == y1, 1.0, y2 - y1)
        crossings = spans & (x < x1 + slope * (y - y1))
        return np.asarray(crossings.sum(1) % 2 == 1)


@dataclass(frozen=True)
class Shapes:
    """Boxes that can be objects of interest, by area and aspect; for pedestrians ByteTrack's 100 pixels and 1.6."""

    min_area: float = 0.0  # pixels
    max_aspect: float = float("inf")  # width / height

    def accepts(self, boxes: Tensor) -> Tensor:
        """Whether each of the boxes (N, 4) is of such a shape: (N,) bool."""
        width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
        return (width * height > self.min_area) & (width <= self.max_aspect * height)
