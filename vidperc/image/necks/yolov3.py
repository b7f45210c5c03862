"""YOLOv3's feature pyramid (https://arxiv.org/abs/1804.02767, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..backbones.darknet import ConvLeaky


class DetectionBlock(nn.Module):
    """Five convolutions, 1x1 and 3x3 in turn."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        double = 2 * out_channels
        self.conv1 = ConvLeaky(in_channels, out_channels, 1)
        self.conv2 = ConvLeaky(out_channels, double, 3)
        self.conv3 = ConvLeaky(double, out_channels, 1)
        self.conv4 = ConvLeaky(out_channels, double, 3)
        self.conv5 = ConvLeaky(double, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv5(self.conv4(self.conv3(self.conv2(self.conv1(x)))))


class YOLOv3Neck(nn.Module):
    """From the coarsest map to the finest: five convolutions, then upsampled beside the next map.

    Tensors are numbered from the coarsest map as published; maps come and go finest first.

    Args:
        in_channels: of the backbone's three maps, finest first.
        out_channels: of the maps given out, finest first.
    """

    def __init__(
        self, in_channels: Sequence[int] = (256, 512, 1024), out_channels: Sequence[int] = (128, 256, 512)
    ) -> None:
        super().__init__()
        self.out_channels = list(out_channels)
        coarse_in, coarse_out = list(reversed(in_channels)), list(reversed(out_channels))
        self.detect1 = DetectionBlock(coarse_in[0], coarse_out[0])
        for index in range(1, len(coarse_in)):
            width = coarse_out[index]
            self.add_module(f"conv{index}", ConvLeaky(coarse_out[index - 1], width, 1))
            self.add_module(f"detect{index + 1}", DetectionBlock(coarse_in[index] + width, width))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        coarsest, *finer = reversed(features)
        maps = [self.detect1(coarsest)]
        for index, x in enumerate(finer, start=1):
            context = F.interpolate(getattr(self, f"conv{index}")(maps[-1]), size=x.shape[-2:])
            maps.append(getattr(self, f"detect{index + 1}")(torch.cat((context, x), dim=1)))
        return maps[::-1]
