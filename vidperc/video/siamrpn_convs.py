"""Convolutions of folded networks: a norm is in the weights already, an activation is done on the way.

On a CPU in float32 the large 3x3 convolutions of SiamRPN's ResNet, three quarters of its multiplications, are done by
Winograd's method, whose weights take four times the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.packed_conv import OPS, ConvWeight, PackedConv, can_pack
from ..layers.winograd import WinogradConv

# Weights of a 3x3 convolution of stride 1 from which on Winograd's transforms pay on a CPU. In bfloat16 they would too,
# but with more than twice the rounding errors of a direct convolution.
WINOGRAD_WEIGHTS = 9 * 256 * 256


class DirectConv:
    """A convolution by torch, with a ReLU where asked for: on devices other than the CPU."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, stride: int, padding: int, dilation: int, *, relu: bool = False
    ) -> None:
        self.weight, self.bias, self.relu = weight.contiguous(memory_format=torch.channels_last), bias, relu
        self.geometry = (stride, padding, dilation)

    def __call__(self, x: Tensor) -> Tensor:
        out = F.conv2d(x, self.weight, self.bias, *self.geometry)
        return out.relu_() if self.relu else out

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """`total` (B, O, H', W') plus the convolution, then the ReLU where there is one; changes `total`."""
        total.add_(F.conv2d(x, self.weight, self.bias, *self.geometry))
        return total.relu_() if self.relu else total


PlainConv = DirectConv | PackedConv
FoldedConv = PlainConv | WinogradConv
Geometry = tuple[int, int, int]  # stride, padding, dilation


def plain_conv(conv: nn.Conv2d, dtype: torch.dtype, side: int, *, relu: bool = False) -> PlainConv:
    """A convolution done directly, best for inputs (B, I, side, side)."""
    return direct_conv(*weights_of(conv), geometry_of(conv), dtype, side, relu=relu)


def weights_of(conv: nn.Conv2d) -> tuple[Tensor, Tensor | None]:
    """Weight and bias, in float32."""
    return conv.weight.detach().float(), None if conv.bias is None else conv.bias.detach().float()


def direct_conv(
    weight: Tensor, bias: Tensor | None, geometry: Geometry, dtype: torch.dtype, side: int, *, relu: bool
) -> PlainConv:
    """A convolution done directly."""
    weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    if can_pack(weight.device):
        return PackedConv(weight, bias, *geometry, relu=relu, side=side)
    return DirectConv(weight, bias, *geometry, relu=relu)


def best_conv(
    weight: Tensor, bias: Tensor | None, geometry: Geometry, dtype: torch.dtype, side: int, *, relu: bool
) -> FoldedConv:
    """A convolution done as is fastest."""
    stride, padding, dilation = geometry
    large = weight.shape[2:] == (3, 3) and stride == 1 and weight.numel() >= WINOGRAD_WEIGHTS
    if large and dtype == torch.float32 and weight.device.type == "cpu":
        return WinogradConv(weight, bias, padding, dilation, relu=relu)
    return direct_conv(weight, bias, geometry, dtype, side, relu=relu)


def geometry_of(conv: nn.Conv2d) -> Geometry:
    """Stride, padding and dilation."""
    return conv.stride[0], int(conv.padding[0]), conv.dilation[0]


def side_after(conv: nn.Conv2d, side: int) -> int:
    """Side of the output of a square convolution on an input of `side`."""
    return (side + 2 * int(conv.padding[0]) - conv.dilation[0] * (conv.kernel_size[0] - 1) - 1) // conv.stride[0] + 1


class DirectReLU6Conv:
    """A convolution of any groups and a ReLU6 by torch: on devices other than the CPU."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int) -> None:
        self.weight, self.bias = weight.contiguous(memory_format=torch.channels_last), bias
        self.geometry, self.groups = geometry, groups

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, *self.geometry, self.groups).clamp_(0, 6)


class PackedReLU6Conv:
    """A convolution of any groups and a ReLU6 by oneDNN: best for inputs (B, I, side, side)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: Geometry, groups: int, side: int) -> None:
        stride, padding, dilation = geometry
        self.bias = bias
        self.geometry = ([padding] * 2, [stride] * 2, [dilation] * 2, groups)
        self.weight = ConvWeight(weight, self.geometry, side)

    def __call__(self, x: Tensor) -> Tensor:
        weight = self.weight.of(x)
        return OPS._convolution_pointwise(x, weight, self.bias, *self.geometry, "hardtanh", [0.0, 6.0], "")


ReLU6Conv = DirectReLU6Conv | PackedReLU6Conv


def relu6_conv(conv: nn.Conv2d, dtype: torch.dtype, side: int) -> ReLU6Conv:
    """A convolution and a ReLU6, best for inputs (B, I, side, side)."""
    weight, bias = weights_of(conv)
    weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    if can_pack(weight.device):
        return PackedReLU6Conv(weight, bias, geometry_of(conv), conv.groups, side)
    return DirectReLU6Conv(weight, bias, geometry_of(conv), conv.groups)
