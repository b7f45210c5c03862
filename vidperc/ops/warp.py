"""Warping feature maps by optical flow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Sample `features` where the flow points to, bilinearly; outside, the border repeats.

    Positions are measured as the published video detectors were trained: cell p of W is read at p (W - 1) / W.

    Args:
        features: (B, D, H, W).
        flow: (B, 2, H, W) x and y displacements in cells of the feature map: output cell p takes p + flow(p).
    """
    height, width = features.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    grid = torch.stack(
        ((flow[:, 0] + x) * (2 / width) - 1, (flow[:, 1] + y) * (2 / height) - 1), dim=-1
    )  # (B, H, W, 2)
    return F.grid_sample(features, grid.to(features.dtype), "bilinear", "border", align_corners=True)
