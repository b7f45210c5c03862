"""DarkNet-53 (YOLOv3, https://arxiv.org/abs/1804.02767)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ...layers.conv import ConvNorm
from ...layers.norm import freeze, freeze_statistics

BLOCKS = (1, 2, 8, 8, 4)  # residual blocks of the five stages


class ConvLeaky(ConvNorm):
    """Convolution, batch norm and a leaky ReLU; the layer that all of YOLOv3 is made of."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, norm="bn", relu=False, padding=kernel_size // 2, **options
        )
        self.relu = nn.LeakyReLU(0.1, inplace=True)


class ResidualBlock(nn.Module):
    """1x1 to half the channels, 3x3 back, and a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvLeaky(channels, channels // 2, 1)
        self.conv2 = ConvLeaky(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


class DarkNet53(nn.Module):
    """Images (B, 3, H, W) to the outputs of the stages in `out_indices`, strides 8, 16, 32 by default.

    Tensors are named as the published checkpoints': `conv1.conv.weight`, `conv_res_block1.res0.conv1.conv.weight` ...

    Args:
        out_indices: which of the stages 1 to 5 are given out.
        frozen_stages: the stem and this many stages do not learn; -1 none.
        norm_eval: running statistics stay as loaded while training.
        base_channels: width of the stem, 32 in all published networks.
    """

    def __init__(
        self,
        *,
        out_indices: Sequence[int] = (3, 4, 5),
        frozen_stages: int = -1,
        norm_eval: bool = True,
        base_channels: int = 32,
    ) -> None:
        super().__init__()
        self.out_indices, self.frozen_stages, self.norm_eval = tuple(out_indices), frozen_stages, norm_eval
        self.conv1 = ConvLeaky(3, base_channels, 3)
        self.stage_names = [f"conv_res_block{stage}" for stage in range(1, len(BLOCKS) + 1)]
        for stage, (name, blocks) in enumerate(zip(self.stage_names, BLOCKS)):
            width = base_channels * 2**stage
            layer = nn.Sequential()
            layer.add_module("conv", ConvLeaky(width, 2 * width, 3, stride=2))
            for block in range(blocks):
                layer.add_module(f"res{block}", ResidualBlock(2 * width))
            self.add_module(name, layer)
        self.out_channels = [base_channels * 2**stage for stage in self.out_indices]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.1)
        self.train()

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv1(x)
        features = []
        for stage, name in enumerate(self.stage_names, start=1):
            x = getattr(self, name)(x)
            if stage in self.out_indices:
                features.append(x)
        return features

    def train(self, mode: bool = True) -> DarkNet53:
        super().train(mode)
        if mode:
            if self.norm_eval:
                freeze_statistics(self)
            if self.frozen_stages >= 0:
                for name in ("conv1", *self.stage_names[: self.frozen_stages]):
                    freeze(getattr(self, name))
        return self
