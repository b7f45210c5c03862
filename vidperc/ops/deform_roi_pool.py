"""Deformable RoI pooling (https://arxiv.org/abs/1703.06211, section 2.2): RoIAlign whose bins move one by one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .roi_align import roi_align


def deform_roi_pool(
    features: Tensor, rois: Tensor, offsets: Tensor | None, size: int, scale: float, gamma: float = 0.1
) -> Tensor:
    """Features (B, D, H, W) of regions as (P, D, size, size).

    Args:
        rois: (P, 5) image, x1, y1, x2, y2 in pixels of the images.
        offsets: (P, 2, size, size) right and down, in sides of the region times `gamma`; None for none.
        scale: pixels of the map per pixel of the image.
    """
    bins = moved_bins(rois, offsets, size, gamma)  # (P * size * size, 5)
    if torch.is_grad_enabled() and (features.requires_grad or bins.requires_grad):
        values = sample_bins(features, bins, scale)
    else:
        values = roi_align(features, bins, 1, scale).flatten(1)
    return values.view(-1, size, size, features.shape[1]).permute(0, 3, 1, 2)


def moved_bins(rois: Tensor, offsets: Tensor | None, size: int, gamma: float) -> Tensor:
    """The bins of regions (P, 5) as regions (P * size * size, 5), row after row."""
    sides = (rois[:, 3:] - rois[:, 1:3])[:, None, None]  # (P, 1, 1, 2)
    steps = torch.arange(size, device=rois.device, dtype=rois.dtype)
    cells = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)  # (size, size, 2) x y
    corners = rois[:, None, None, 1:3] + cells * (sides / size)
    if offsets is not None:
        corners = corners + gamma * sides * offsets.permute(0, 2, 3, 1)
    image = rois[:, None, None, :1].expand(-1, size, size, 1)
    return torch.cat([image, corners, corners + sides / size], dim=-1).flatten(0, 2)


def sample_bins(features: Tensor, bins: Tensor, scale: float) -> Tensor:
    """The mean of bilinear samples in each bin (N, 5), as (N, D); gradients reach the bins as well.

    Samples are as many as there are pixels, as in RoIAlign; one more than a pixel outside of the map is 0.
    """
    height, width = features.shape[-2:]
    limits = bins.new_tensor([width, height])
    start, sides = bins[:, 1:3] * scale - 0.5, (bins[:, 3:] - bins[:, 1:3]) * scale  # (N, 2) x y
    counts = sides.detach().ceil().clamp(min=0).long()
    image = bins[:, 0].long()
    out = features.new_zeros(len(bins), features.shape[1])
    for number, across, down in torch.cat([image[:, None], counts], dim=1).unique(dim=0).tolist():
        index = ((image == number) & (counts == counts.new_tensor([across, down])).all(1)).nonzero(as_tuple=True)[0]
        if not across * down:
            continue
        steps = [(torch.arange(n, device=bins.device) + 0.5) / n for n in (across, down)]
        within = torch.stack(torch.meshgrid(*steps, indexing="xy"), dim=-1).flatten(0, 1)  # (K, 2)
        places = start[index, None] + sides[index, None] * within  # (G, K, 2)
        inside = ((places >= -1) & (places <= limits)).all(-1)
        places = places.clamp(min=torch.zeros_like(limits), max=limits - 1)
        grid = (places / (limits - 1).clamp(min=1) * 2 - 1).to(features.dtype)
        values = F.grid_sample(features[number : number + 1], grid[None], padding_mode="border", align_corners=True)
        out = out.index_copy(0, index, (values[0] * inside).mean(-1).T)  # of (D, G, K)
    return out
