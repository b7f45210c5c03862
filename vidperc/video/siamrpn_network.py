"""The networks of SiamRPN as tracking runs them: as modules, or with batch norms folded into convolutions.

Folding halves the passes over memory. On a CPU in float32 the large 3x3 convolutions, three quarters of the
multiplications, are done by Winograd's method, whose weights take four times the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..image.backbones.siamese_resnet import SiameseBottleneck, SiameseResNet
from ..layers.fuse import fuse_conv_norm
from ..layers.packed_conv import PackedConv, can_pack
from ..layers.winograd import WinogradConv
from ..ops.correlation import depthwise_correlation
from .siamrpn_head import ChannelReducer, CorrelationBranch, SiameseRPNHead, TemplateKernels, weighted_sum

# Weights of a 3x3 convolution of stride 1 from which on Winograd's transforms pay on a CPU. In bfloat16 they would too,
# but with more than twice the rounding errors of a direct convolution.
WINOGRAD_WEIGHTS = 9 * 256 * 256


class SiameseNetwork(Protocol):
    """Crops in BGR to kernels, and to the logits and codes of the anchors."""

    def features(self, crops: Tensor) -> list[Tensor]:
        """One (B, D, h, w) per level."""
        ...

    def embed_template(self, template: Sequence[Tensor]) -> TemplateKernels:
        """The kernels of template features."""
        ...

    def correlate(self, kernels: TemplateKernels, search: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and codes of search features."""
        ...


@dataclass(slots=True)
class ModuleNetwork:
    """The modules as they are, with gradients."""

    backbone: nn.Module
    neck: nn.Module
    head: SiameseRPNHead

    def features(self, crops: Tensor) -> list[Tensor]:
        return self.neck(self.backbone(crops))

    def embed_template(self, template: Sequence[Tensor]) -> TemplateKernels:
        return self.head.embed_template(template)

    def correlate(self, kernels: TemplateKernels, search: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return self.head(kernels, search)


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


class FoldedLevel:
    """Both branches of the head on one level, norms folded, best for search features of `side`.

    Both convolve the same search features first: that is done for both at once.
    """

    def __init__(
        self, classification: CorrelationBranch, regression: CorrelationBranch, dtype: torch.dtype, side: int
    ) -> None:
        branches = (classification, regression)
        self.kernels = [plain_conv(b.kernel_convs.conv, dtype, 7, relu=True) for b in branches]
        weights, biases = zip(*(weights_of(b.search_convs.conv) for b in branches))
        self.search = best_conv(torch.cat(weights), torch.cat(biases), (1, 0, 1), dtype, side, relu=True)
        side -= 6  # the 3x3 convolution, and the correlation with 5x5
        hidden = [b.head_convs[0] for b in branches]
        self.hidden = [plain_conv(part.conv, dtype, side, relu=True) for part in hidden]  # type: ignore[arg-type]
        self.last = [plain_conv(b.head_convs[1].conv, dtype, side) for b in branches]  # type: ignore[arg-type]

    def __call__(self, kernels: Sequence[Tensor], search: Tensor) -> list[Tensor]:
        """Logits and codes from both branches' kernels."""
        correlated = depthwise_correlation(self.search(search), torch.cat(list(kernels), 1)).chunk(2, 1)
        inputs = [part.contiguous(memory_format=torch.channels_last) for part in correlated]
        return [last(hidden(x)) for last, hidden, x in zip(self.last, self.hidden, inputs, strict=True)]


class FoldedNetwork:
    """The whole network for evaluation in `dtype`; made of copies, it does not follow later training.

    Args:
        backbone, neck, head: the network, its batch norms folded into its convolutions.
        dtype: of weights and activations.
        side: of the search crops, that it is to be fastest for.
    """

    def __init__(
        self, backbone: SiameseResNet, neck: ChannelReducer, head: SiameseRPNHead, dtype: torch.dtype, side: int
    ) -> None:
        self.dtype, self.out_indices = dtype, backbone.out_indices
        self.stem = plain_conv(backbone.conv1, dtype, side, relu=True)
        side = (side_after(backbone.conv1, side) - 1) // 2 + 1  # after the pooling
        self.stages: list[list[FoldedBottleneck]] = []
        for name in backbone.stage_names:
            self.stages.append([])
            for block in getattr(backbone, name):
                self.stages[-1].append(FoldedBottleneck(block, dtype, side))
                side = self.stages[-1][-1].side
        self.neck = [plain_conv(part.conv, dtype, side) for part in neck.convs]  # type: ignore[arg-type, union-attr]
        pairs = zip(head.cls_heads, head.reg_heads, strict=True)
        self.levels = [FoldedLevel(*pair, dtype, side) for pair in pairs]  # type: ignore[arg-type]
        self.cls_weight, self.reg_weight = head.cls_weight.detach().clone(), head.reg_weight.detach().clone()

    def features(self, crops: Tensor) -> list[Tensor]:
        x = F.max_pool2d(self.stem(crops.to(self.dtype)), 3, 2, 1)
        levels: list[Tensor] = []
        for stage, blocks in enumerate(self.stages):
            for block in blocks:
                x = block(x)
            if stage in self.out_indices:
                levels.append(self.neck[len(levels)](x))
        return levels

    def embed_template(self, template: Sequence[Tensor]) -> TemplateKernels:
        pairs = [[kernel(x) for kernel in level.kernels] for level, x in zip(self.levels, template, strict=True)]
        return TemplateKernels([pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def correlate(self, kernels: TemplateKernels, search: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        pairs = zip(kernels.classification, kernels.regression, strict=True)
        outputs = [level(pair, x) for level, pair, x in zip(self.levels, pairs, search, strict=True)]
        classes, codes = ([each[branch] for each in outputs] for branch in (0, 1))
        return weighted_sum(classes, self.cls_weight), weighted_sum(codes, self.reg_weight)


def fold(modules: ModuleNetwork, dtype: torch.dtype, side: int) -> SiameseNetwork:
    """The folded network, best for search crops of `side`, where its parts are the known ones, else the modules."""
    if not (isinstance(modules.backbone, SiameseResNet) and isinstance(modules.neck, ChannelReducer)):
        return modules
    device = modules.head.cls_weight.device.type
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device, enabled=False):
        backbone, neck, head = (
            fuse_conv_norm(deepcopy(part).eval()) for part in (modules.backbone, modules.neck, modules.head)
        )
        return FoldedNetwork(backbone, neck, head, dtype, side)  # type: ignore[arg-type]
