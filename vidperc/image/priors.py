"""Priors: the anchors or points of dense heads, one set per location of every feature map.

The order within a level is that of the published checkpoints' channels: rows, columns, anchors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Sizes = Sequence[tuple[int, int]]  # (H, W) of each level


def locations(size: tuple[int, int], stride: float, offset: float, device: torch.device | str = "cpu") -> Tensor:
    """(H * W, 2) x y in pixels of the batch, `offset` strides from the corner of each cell."""
    height, width = size
    x = (torch.arange(width, device=device, dtype=torch.float32) + offset) * stride
    y = (torch.arange(height, device=device, dtype=torch.float32) + offset) * stride
    return torch.stack((x.expand(height, -1), y[:, None].expand(-1, width)), dim=-1).flatten(0, 1)


class GridAnchors:
    """Given boxes repeated at every location of each level.

    Args:
        strides: pixels between locations, by level.
        base_anchors: by level, (A, 4) xyxy relative to the corner of a cell.
    """

    def __init__(self, strides: Sequence[float], base_anchors: Sequence[Tensor]) -> None:
        if len(strides) != len(base_anchors):
            raise ValueError(f"{len(strides)} strides but anchors of {len(base_anchors)} levels")
        self.strides = tuple(strides)
        self.base_anchors = list(base_anchors)

    @property
    def counts(self) -> list[int]:
        """Anchors per location, by level."""
        return [len(anchors) for anchors in self.base_anchors]

    @property
    def count(self) -> int:
        """Anchors per location where it is the same in all levels.

        Raises:
            ValueError: it is not.
        """
        if len(set(self.counts)) != 1:
            raise ValueError(f"levels have different numbers of anchors: {self.counts}")
        return self.counts[0]

    def __call__(self, sizes: Sizes, device: torch.device | str = "cpu") -> list[Tensor]:
        """The anchors of each level, (H * W * A, 4) xyxy in pixels of the batch; `sizes` are (H, W), finest first."""
        if len(sizes) != len(self.strides):
            raise ValueError(f"anchors are made for {len(self.strides)} levels, got {len(sizes)}")
        return [self._level(i, size, device) for i, size in enumerate(sizes)]

    def _level(self, level: int, size: tuple[int, int], device: torch.device | str) -> Tensor:
        shift = locations(size, self.strides[level], 0.0, device).repeat(1, 2)  # (H * W, 4)
        return (shift[:, None] + self.base_anchors[level].to(device)).flatten(0, 1)


class AnchorGenerator(GridAnchors):
    """Anchors of all `scales` and `ratios` (height / width), ratios outer and scales inner.

    Args:
        strides: by level.
        ratios, scales: of each level the same; an anchor of scale s and ratio 1 has sides s * base size.
        base_sizes: by level, the strides where None.
        center_offset: where in its cell an anchor is centred, in base sizes.
    """

    def __init__(
        self,
        strides: Sequence[float],
        ratios: Sequence[float],
        scales: Sequence[float],
        *,
        base_sizes: Sequence[float] | None = None,
        center_offset: float = 0.0,
    ) -> None:
        sizes = strides if base_sizes is None else base_sizes
        super().__init__(strides, [base_anchors(size, ratios, scales, center_offset) for size in sizes])


class LegacyAnchorGenerator(GridAnchors):
    """As `AnchorGenerator`, with the whole-pixel corners of checkpoints from before 2020 (x2 is inside the box)."""

    def __init__(
        self, strides: Sequence[float], ratios: Sequence[float], scales: Sequence[float], *, center_offset: float = 0.5
    ) -> None:
        base = []
        for stride in strides:
            half = shapes(stride, ratios, scales).sub_(1).mul_(0.5)  # (A, 2)
            centre = center_offset * (stride - 1)
            base.append(torch.cat((centre - half, centre + half), dim=1).round_())
        super().__init__(strides, base)


def shapes(base_size: float, ratios: Sequence[float], scales: Sequence[float]) -> Tensor:
    """Widths and heights (A, 2) of anchors, ratios outer and scales inner."""
    height = torch.tensor(ratios, dtype=torch.float32).sqrt()
    scale = torch.tensor(scales, dtype=torch.float32)
    factors = torch.stack((1 / height, height), dim=-1)  # (R, 2)
    return (base_size * factors[:, None] * scale[None, :, None]).flatten(0, 1)


def base_anchors(base_size: float, ratios: Sequence[float], scales: Sequence[float], offset: float = 0.0) -> Tensor:
    """Boxes (A, 4) centred `offset` base sizes from the corner of a cell."""
    half = shapes(base_size, ratios, scales) * 0.5
    centre = offset * base_size
    return torch.cat((centre - half, centre + half), dim=1)


def octave_scales(base: float = 4.0, per_octave: int = 3) -> list[float]:
    """The scales of RetinaNet's anchors: `per_octave` of them from `base` to below twice that."""
    return [base * 2 ** (i / per_octave) for i in range(per_octave)]


class GridPoints:
    """One point per location, (H * W, 3): x, y in pixels of the batch, and the stride of its level.

    Args:
        strides: by level.
        offset: place in the cell, in strides; 0.5 is its centre.
    """

    def __init__(self, strides: Sequence[float], offset: float = 0.5) -> None:
        self.strides, self.offset = tuple(strides), offset
        self.counts, self.count = [1] * len(self.strides), 1

    def __call__(self, sizes: Sizes, device: torch.device | str = "cpu") -> list[Tensor]:
        """The points of each level; `sizes` are (H, W), finest first."""
        if len(sizes) != len(self.strides):
            raise ValueError(f"points are made for {len(self.strides)} levels, got {len(sizes)}")
        grids = [locations(size, stride, self.offset, device) for size, stride in zip(sizes, self.strides)]
        return [torch.nn.functional.pad(grid, (0, 1), value=stride) for grid, stride in zip(grids, self.strides)]
