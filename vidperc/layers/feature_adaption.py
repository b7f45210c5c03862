"""Features taken where an object's shape says (Guided Anchoring, https://arxiv.org/abs/1901.03278, section 3.4)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .deform_conv import OffsetConv


class FeatureAdaption(nn.Module):
    """A deformable convolution whose offsets are linear in what is known of the shape at a location.

    Args:
        channels: of the features.
        shape_channels: numbers that describe a shape.
        deform_groups: groups of channels with offsets of their own.
    """

    def __init__(self, channels: int = 256, shape_channels: int = 2, *, deform_groups: int = 4) -> None:
        super().__init__()
        self.conv_offset = nn.Conv2d(shape_channels, deform_groups * 18, 1, bias=False)
        self.conv_adaption = OffsetConv(channels, channels)
        nn.init.normal_(self.conv_offset.weight, std=0.1)

    def forward(self, x: Tensor, shape: Tensor) -> Tensor:
        """Features (B, D, H, W) adapted to shapes (B, shape_channels, H, W)."""
        return F.relu(self.conv_adaption(x, self.conv_offset(shape)), inplace=True)
