"""ResNet (https://arxiv.org/abs/1512.03385) and ResNeXt (https://arxiv.org/abs/1611.05431).

Tensors are named as torchvision's and the published detection checkpoints': `conv1`, `bn1`,
`layer1.0.conv1`, `layer1.0.downsample.0` ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from ...layers.deform_conv import DeformConv, ModulatedDeformConv
from ...layers.norm import NormKind, freeze_statistics, make_norm
from .staged import StagedBackbone, initialise

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
Style = Literal["pytorch", "caffe"]
MakeConv = Callable[..., nn.Module]
MakeBlock = Callable[..., nn.Module]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18, -34)."""

    expansion = 1
    conv_norm_pairs: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
        norm: NormKind = "bn",
        **_: object,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = make_norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = make_norm(norm, width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x.add_(shortcut))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut. Style caffe strides in the first, pytorch in the 3x3.

    Blocks with something between the convolutions are subclasses that extend `inner` or `widen`.
    """

    expansion = 4
    conv_norm_pairs: ClassVar = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(
        self,
        in_channels: int,
        width: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        downsample: nn.Module | None = None,
        norm: NormKind = "bn",
        style: Style = "pytorch",
        groups: int = 1,
        width_per_group: int = 64,
        conv: MakeConv | None = None,
    ) -> None:
        super().__init__()
        inner = int(width * width_per_group / 64) * groups
        stride1, stride2 = (stride, 1) if style == "caffe" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, inner, 1, stride1, bias=False)
        self.bn1 = make_norm(norm, inner)
        self.conv2 = (conv or plain_conv)(
            inner, inner, 3, stride=stride2, padding=dilation, dilation=dilation, groups=groups
        )
        self.bn2 = make_norm(norm, inner)
        self.conv3 = nn.Conv2d(inner, width * self.expansion, 1, bias=False)
        self.bn3 = make_norm(norm, width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.widen(self.inner(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(x.add_(shortcut))

    def inner(self, x: Tensor) -> Tensor:
        """The 3x3 convolution and what follows it."""
        return self.relu(self.bn2(self.conv2(x)))

    def widen(self, x: Tensor) -> Tensor:
        """The last convolution and what follows it, before the shortcut is added."""
        return self.bn3(self.conv3(x))


def plain_conv(in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> nn.Module:
    """A convolution without bias, as all of ResNet's are."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, bias=False, **options)


def deform_conv_v1(in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> nn.Module:
    """Deformable convolution in a stage (`dconv`)."""
    return DeformConv(in_channels, out_channels, kernel_size, **options)


def deform_conv_v2(in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> nn.Module:
    """Modulated deformable convolution in a stage (`mdconv`)."""
    return ModulatedDeformConv(in_channels, out_channels, kernel_size, **options)


class ResNet(StagedBackbone):
    """Images (B, 3, H, W) to the outputs of the stages in `out_indices`, strides 4, 8, 16, 32 by default.

    Args:
        depth: 18, 34, 50, 101 or 152.
        out_indices: which of the stages 0 to 3 are given out.
        num_stages: how many stages exist (C4 networks have 3).
        strides, dilations: of each stage; DC5 has (1, 2, 2, 1) and (1, 1, 1, 2).
        style: where a bottleneck strides.
        groups, width_per_group: ResNeXt's, 32 and 4 for 32x4d.
        norm: kind of normalisation.
        frozen_stages: the stem and this many stages do not learn; 0 the stem alone, -1 none.
        norm_eval: running statistics stay as loaded while training.
        conv_stages: stage index -> builder of its 3x3 convolutions (`deform_conv_v1`, ...).
        block_stages: stage index -> builder of its blocks (`ContextBottleneck`, ...), which takes a `Bottleneck`'s
            arguments and widens as much; others have the depth's own.
        base_channels: width of the stem, 64 in all published networks.
    """

    conv_norm_pairs: ClassVar = (("conv1", "bn1"),)

    def __init__(
        self,
        depth: int = 50,
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        num_stages: int = 4,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        style: Style = "pytorch",
        groups: int = 1,
        width_per_group: int = 64,
        norm: NormKind = "bn",
        frozen_stages: int = 1,
        norm_eval: bool = True,
        conv_stages: dict[int, MakeConv] | None = None,
        block_stages: dict[int, MakeBlock] | None = None,
        base_channels: int = 64,
    ) -> None:
        super().__init__(out_indices=out_indices, frozen_stages=frozen_stages, norm_eval=norm_eval)
        if depth not in BLOCKS:
            raise ValueError(f"ResNet depth {depth}: expected one of {sorted(BLOCKS)}")
        block = BasicBlock if depth < 50 else Bottleneck
        self.conv1 = nn.Conv2d(3, base_channels, 7, 2, 3, bias=False)
        self.bn1 = make_norm(norm, base_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = base_channels
        for stage in range(num_stages):
            width = base_channels * 2**stage
            layer = make_stage(
                block, channels, width, BLOCKS[depth][stage], strides[stage], dilations[stage],
                norm=norm, style=style, groups=groups, width_per_group=width_per_group,
                conv=(conv_stages or {}).get(stage), make_block=(block_stages or {}).get(stage),
            )  # fmt: skip
            channels = width * block.expansion
            self.add_stage(layer, channels)
        initialise(self)
        self.train()

    def begin(self, x: Tensor) -> Tensor:
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))


def make_stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    width: int,
    blocks: int,
    stride: int,
    dilation: int,
    *,
    norm: NormKind,
    make_block: MakeBlock | None = None,
    **options: Any,
) -> nn.Sequential:
    """Blocks of one resolution; the first changes stride and width. All of them are dilated."""
    out_channels = width * block.expansion
    downsample = None
    if stride != 1 or in_channels != out_channels:
        downsample = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), make_norm(norm, out_channels)
        )
    make = make_block or block
    first = make(in_channels, width, stride=stride, dilation=dilation, downsample=downsample, norm=norm, **options)
    rest = [make(out_channels, width, dilation=dilation, norm=norm, **options) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class ResNetStage(nn.Module):
    """One stage of a ResNet alone, as the second stage of C4 detectors applies to each region.

    Args:
        stage: 0 to 3; the tensors are named as this stage's in a whole network.
    """

    def __init__(
        self,
        depth: int = 50,
        stage: int = 3,
        *,
        stride: int = 2,
        dilation: int = 1,
        style: Style = "pytorch",
        norm: NormKind = "bn",
        norm_eval: bool = True,
        base_channels: int = 64,
    ) -> None:
        super().__init__()
        block = BasicBlock if depth < 50 else Bottleneck
        width = base_channels * 2**stage
        self.name, self.norm_eval = f"layer{stage + 1}", norm_eval
        in_channels = width // 2 * block.expansion if stage else base_channels
        layer = make_stage(
            block, in_channels, width, BLOCKS[depth][stage], stride, dilation, norm=norm, style=style
        )  # fmt: skip
        self.add_module(self.name, layer)
        initialise(self)
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, D, H, W) to those of the stage."""
        result: Tensor = getattr(self, self.name)(x)
        return result

    def train(self, mode: bool = True) -> ResNetStage:
        super().train(mode)
        if mode and self.norm_eval:
            freeze_statistics(self)
        return self
