"""TridentNet (https://arxiv.org/abs/1901.01892): a stage whose branches share their weights and differ in dilation.

At training every picture goes through all branches, which stand one after the other in the batch: the pictures in the
first one, the same pictures in the second one ... At inference there is one branch alone (section 3.4).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.standardised_conv import like
from .resnet import Bottleneck

DILATIONS = (1, 2, 3)
TEST_BRANCH = 1


class TridentConv(nn.Conv2d):
    """A 3x3 convolution without bias, at training with each branch's dilation on the branch's part of the batch."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, *, stride: int = 1, groups: int = 1, **_: Any
    ) -> None:
        dilation = DILATIONS[TEST_BRANCH]
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, dilation=dilation, groups=groups, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        parts = zip(x.chunk(len(DILATIONS)), DILATIONS)
        return torch.cat(
            [F.conv2d(part, self.weight, None, self.stride, size, size, self.groups) for part, size in parts]
        )

    def folded(self) -> nn.Conv2d:
        """The convolution of inference."""
        return like(nn.Conv2d, self)


class TridentBottleneck(Bottleneck):
    """A `Bottleneck` of all branches; the first one of its stage copies the batch to them."""

    def __init__(self, in_channels: int, width: int, **options: Any) -> None:
        super().__init__(in_channels, width, **{**options, "conv": TridentConv})

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.downsample is not None:
            x = x.repeat(len(DILATIONS), 1, 1, 1)
        return super().forward(x)
