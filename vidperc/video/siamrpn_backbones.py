"""The backbones of SiamRPN as tracking runs them: norms folded into convolutions, in one precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..image.backbones.siamese_alexnet import STARTS, SiameseAlexNet
from ..image.backbones.siamese_mobilenet import InvertedResidual, SiameseMobileNet
from ..image.backbones.siamese_resnet import SiameseBottleneck, SiameseResNet
from .siamrpn_convs import FoldedConv, ReLU6Conv, best_conv, geometry_of, plain_conv, relu6_conv, side_after, weights_of

POOLED = 2  # the first convolutions of an AlexNet, after each of which there is a pooling


class FoldedBackbone(Protocol):
    """Crops to levels; `side` is that of the levels of the search crops it is fastest for."""

    side: int

    def __call__(self, x: Tensor) -> list[Tensor]:
        """One (B, D, h, w) per level."""
        ...


class FoldedBottleneck:
    """A residual block whose norms are folded, best for inputs of `side`."""

    def __init__(self, block: SiameseBottleneck, dtype: torch.dtype, side: int) -> None:
        self.side = side_after(block.conv2, side)  # of the output
        self.reduce = plain_conv(block.conv1, dtype, side, relu=True)
        self.middle = best_conv(*weights_of(block.conv2), geometry_of(block.conv2), dtype, side, relu=True)
        self.expand = plain_conv(block.conv3, dtype, self.side, relu=True)
        self.downsample: FoldedConv | None = None
        if isinstance(block.downsample, nn.Sequential):
            conv = block.downsample[0]
            assert isinstance(conv, nn.Conv2d)
            self.downsample = best_conv(*weights_of(conv), geometry_of(conv), dtype, side, relu=False)

    def __call__(self, x: Tensor) -> Tensor:
        """Changes `x`."""
        inner = self.middle(self.reduce(x))
        return self.expand.add_to(x if self.downsample is None else self.downsample(x), inner)


class FoldedResNet:
    """A `SiameseResNet` whose norms are folded, best for crops of `side`."""

    def __init__(self, backbone: SiameseResNet, dtype: torch.dtype, side: int) -> None:
        self.out_indices = backbone.out_indices
        self.stem = plain_conv(backbone.conv1, dtype, side, relu=True)
        side = (side_after(backbone.conv1, side) - 1) // 2 + 1  # after the pooling
        self.stages: list[list[FoldedBottleneck]] = []
        for stage in backbone.stages():
            self.stages.append([])
            for block in stage:  # type: ignore[attr-defined]
                self.stages[-1].append(FoldedBottleneck(block, dtype, side))
                side = self.stages[-1][-1].side
        self.side = side

    def __call__(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        levels = []
        for stage, blocks in enumerate(self.stages):
            for block in blocks:
                x = block(x)
            if stage in self.out_indices:
                levels.append(x)  # the first block of the next stage leaves it as it is
        return levels


class FoldedAlexNet:
    """A `SiameseAlexNet` whose norms are folded, best for crops of `side`.

    A ReLU after a pooling is the same before it, where the convolution does it on the way.
    """

    def __init__(self, backbone: SiameseAlexNet, dtype: torch.dtype, side: int) -> None:
        self.convs: list[FoldedConv] = []
        for number, start in enumerate(STARTS):
            conv = backbone.features[start]
            assert isinstance(conv, nn.Conv2d)
            last = number == len(STARTS) - 1
            self.convs.append(best_conv(*weights_of(conv), geometry_of(conv), dtype, side, relu=not last))
            side = side_after(conv, side)
            if number < POOLED:
                side = (side - 3) // 2 + 1
        self.side = side

    def __call__(self, x: Tensor) -> list[Tensor]:
        for number, conv in enumerate(self.convs):
            x = conv(x)
            if number < POOLED:
                x = F.max_pool2d(x, 3, 2)
        return [x]


class FoldedInvertedResidual:
    """A block of a MobileNetV2 whose norms are folded, best for inputs of `side`."""

    def __init__(self, block: InvertedResidual, dtype: torch.dtype, side: int) -> None:
        widen, depthwise, narrow = (block.conv[place] for place in (0, 3, 6))
        assert isinstance(widen, nn.Conv2d) and isinstance(depthwise, nn.Conv2d) and isinstance(narrow, nn.Conv2d)
        self.side = side_after(depthwise, side)  # of the output
        self.residual = block.residual
        self.inner: list[ReLU6Conv] = [relu6_conv(widen, dtype, side), relu6_conv(depthwise, dtype, side)]
        self.narrow = plain_conv(narrow, dtype, self.side)

    def __call__(self, x: Tensor) -> Tensor:
        """Changes `x` where it is added to."""
        widened, depthwise = self.inner
        inner = depthwise(widened(x))
        return self.narrow.add_to(x, inner) if self.residual else self.narrow(inner)


class FoldedMobileNet:
    """A `SiameseMobileNet` whose norms are folded, best for crops of `side`."""

    def __init__(self, backbone: SiameseMobileNet, dtype: torch.dtype, side: int) -> None:
        self.out_indices = backbone.out_indices
        stem, *stages = backbone.stages()
        conv = stem[0]  # type: ignore[index]
        self.stages: list[list[ReLU6Conv | FoldedInvertedResidual]] = [[relu6_conv(conv, dtype, side)]]
        side = side_after(conv, side)
        for stage in stages:
            self.stages.append([])
            for block in stage:  # type: ignore[attr-defined]
                folded = FoldedInvertedResidual(block, dtype, side)
                self.stages[-1].append(folded)
                side = folded.side
        self.side = side

    def __call__(self, x: Tensor) -> list[Tensor]:
        levels = []
        for number, blocks in enumerate(self.stages):
            for block in blocks:
                x = block(x)
            if number in self.out_indices:
                levels.append(x.clone())  # a block may change what it is given
        return levels


FOLDED: dict[type[nn.Module], Callable[[Any, torch.dtype, int], FoldedBackbone]] = {
    SiameseResNet: FoldedResNet,
    SiameseAlexNet: FoldedAlexNet,
    SiameseMobileNet: FoldedMobileNet,
}
