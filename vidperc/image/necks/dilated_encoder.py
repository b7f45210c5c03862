"""The dilated encoder of YOLOF (https://arxiv.org/abs/2103.09460, section 4.2): one map of many receptive fields."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...layers.conv import ConvNorm, init_caffe2


class DilatedBlock(nn.Module):
    """1x1, dilated 3x3 and 1x1 convolutions beside a shortcut."""

    def __init__(self, channels: int, inner: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, inner, 1, norm="bn")
        self.conv2 = ConvNorm(inner, inner, 3, padding=dilation, dilation=dilation, norm="bn")
        self.conv3 = ConvNorm(inner, channels, 1, norm="bn")

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv3(self.conv2(self.conv1(x)))


class DilatedEncoder(nn.Module):
    """The backbone's last map, projected, through blocks of growing dilation.

    Args:
        in_channels: of the map.
        out_channels: of the map given out.
        inner_channels: within the blocks.
        dilations: of each block.
    """

    def __init__(
        self,
        in_channels: int = 2048,
        out_channels: int = 512,
        *,
        inner_channels: int = 128,
        dilations: Sequence[int] = (2, 4, 6, 8),
    ) -> None:
        super().__init__()
        self.lateral = ConvNorm(in_channels, out_channels, 1, norm="bn", bias=True, relu=False)
        self.fpn = ConvNorm(out_channels, out_channels, 3, padding=1, norm="bn", bias=True, relu=False)
        self.blocks = nn.Sequential(*(DilatedBlock(out_channels, inner_channels, dilation) for dilation in dilations))
        self.out_channels = [out_channels]
        for projection in (self.lateral, self.fpn):
            init_caffe2(projection)
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [self.blocks(self.fpn(self.lateral(features[-1])))]
