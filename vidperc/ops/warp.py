"""Warping feature maps by optical flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Sample `features` where the flow points to, bilinearly; outside, the border repeats.

    Args:
        features: (B, D, H, W).
        flow: (B, 2, H, W) x and y displacements in cells of the feature map: output cell p takes p + flow(p).
    """
    height, width = features.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    grid = torch.stack(
        ((flow[:, 0] + x) * (2 / max(width - 1, 1)) - 1, (flow[:, 1] + y) * (2 / max(height - 1, 1)) - 1), dim=-1
    )  # (B, H, W, 2)
    return F.grid_sample(features, grid.to(features.dtype), "bilinear", "border", align_corners=True)


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """The flow of an image (B, 2, H, W), in pixels, as the flow of a map of `size` in its cells."""
    factor = size[1] / flow.shape[-1]
    flow = F.interpolate(flow, scale_factor=factor, mode="bilinear", align_corners=False)
    return flow[..., : size[0], : size[1]] * factor
