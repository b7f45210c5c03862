"""Masks of boxes drawn into the picture."""

from __future__ import annotations

import torch
from torch import Tensor


def paste_masks(scores: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """Scores (N, M, M) within boxes (N, 4) as masks (N, H, W) of a picture of `size`.

    A pixel's score is the bilinear interpolation at its centre, zero beyond the box. The interpolation
    of a grid parallel to the axes is a product of one matrix per axis, so a mask costs two small
    matrix products over the box alone.
    """
    masks = torch.zeros(len(scores), *size, dtype=torch.bool, device=scores.device)
    spans = torch.stack([boxes[:, :2].floor() - 1, boxes[:, 2:].ceil() + 1], dim=1)  # (N, 2, 2)
    corners = spans.nan_to_num().clamp(-(2.0**30), 2.0**30).long().tolist()
    for i, ((x1, y1), (x2, y2)) in enumerate(corners):
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, size[1]), min(y2, size[0])
        if x2 <= x1 or y2 <= y1:
            continue
        columns = interpolation(boxes[i, 0], boxes[i, 2], x1, x2, scores.shape[2])  # (w, M)
        rows = interpolation(boxes[i, 1], boxes[i, 3], y1, y2, scores.shape[1])  # (h, M)
        masks[i, y1:y2, x1:x2] = rows @ scores[i] @ columns.T >= threshold
    return masks


def interpolation(low: Tensor, high: Tensor, start: int, end: int, bins: int) -> Tensor:
    """Weights (end - start, bins) by which pixels take the values of `bins` cells that span low to high."""
    centres = torch.arange(start, end, device=low.device, dtype=low.dtype) + 0.5
    position = (centres - low) / (high - low) * bins - 0.5  # in cells, 0 at the centre of the first
    distance = (position[:, None] - torch.arange(bins, device=low.device)).abs()
    return (1 - distance).clamp(min=0).nan_to_num()
