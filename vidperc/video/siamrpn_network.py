"""The networks of SiamRPN as tracking runs them: as modules, or with batch norms folded into convolutions.

Folding halves the passes over memory. On a CPU in float32 the large 3x3 convolutions, three quarters of the
multiplications, are done by Winograd's method, whose weights take four times the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..image.backbones.siamese_resnet import SiameseBottleneck, SiameseResNet
from ..layers.winograd import transform_weight, winograd_conv
from ..ops.correlation import depthwise_correlation
from .siamrpn_head import ChannelReducer, ConvNorm, CorrelationBranch, SiameseRPNHead, TemplateKernels, weighted_sum

WINOGRAD_WEIGHTS = 2**18  # of a 3x3 convolution, from which on it is worth its transforms: 181 x 181 channels


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


class FoldedConv:
    """A convolution with the batch norm after it in one, for evaluation."""

    def __init__(self, conv: nn.Conv2d, norm: nn.Module | None, dtype: torch.dtype) -> None:
        weight, bias = conv.weight.detach().float(), conv.bias
        if isinstance(norm, nn.BatchNorm2d):  # an identity where it is folded already
            mean, variance = norm.running_mean, norm.running_var
            assert mean is not None and variance is not None
            scale = norm.weight.detach() * (variance + norm.eps).rsqrt()
            weight = weight * scale[:, None, None, None]
            bias = norm.bias - mean * scale
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.stride, self.padding, self.dilation = conv.stride[0], int(conv.padding[0]), conv.dilation[0]
        large = conv.kernel_size == (3, 3) and self.stride == 1 and weight.numel() >= WINOGRAD_WEIGHTS * 9 / 8
        self.winograd = large and dtype == torch.float32 and weight.device.type == "cpu"
        if self.winograd:
            self.weight = transform_weight(weight)
        else:
            self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor) -> Tensor:
        if self.winograd:
            return winograd_conv(x, self.weight, self.bias, self.padding, self.dilation)
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


class FoldedBottleneck:
    """A residual block of folded convolutions."""

    def __init__(self, block: SiameseBottleneck, dtype: torch.dtype) -> None:
        self.convs = [
            FoldedConv(conv, norm, dtype)
            for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3))
        ]
        self.downsample: FoldedConv | None = None
        if isinstance(block.downsample, nn.Sequential):
            conv, norm = block.downsample
            self.downsample = FoldedConv(conv, norm, dtype)  # type: ignore[arg-type]

    def __call__(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.convs[0](x).relu_()
        x = self.convs[1](x).relu_()
        return self.convs[2](x).add_(shortcut).relu_()


class FoldedBranch:
    """A branch of the head, of folded convolutions."""

    def __init__(self, branch: CorrelationBranch, dtype: torch.dtype) -> None:
        hidden, last = branch.head_convs
        self.kernel = _folded(branch.kernel_convs, dtype)
        self.search = _folded(branch.search_convs, dtype)
        self.hidden, self.last = _folded(hidden, dtype), FoldedConv(last.conv, None, dtype)  # type: ignore[arg-type]

    def __call__(self, kernels: Tensor, search: Tensor) -> Tensor:
        correlated = depthwise_correlation(self.search(search).relu_(), kernels)
        return self.last(self.hidden(correlated).relu_())


class FoldedNetwork:
    """The whole network, folded, for evaluation in `dtype`; made of copies, it does not follow later training."""

    def __init__(self, backbone: SiameseResNet, neck: ChannelReducer, head: SiameseRPNHead, dtype: torch.dtype) -> None:
        self.dtype, self.out_indices = dtype, backbone.out_indices
        self.stem = FoldedConv(backbone.conv1, backbone.bn1, dtype)
        self.stages = [
            [FoldedBottleneck(block, dtype) for block in getattr(backbone, name)] for name in backbone.stage_names
        ]
        self.neck = [_folded(conv, dtype) for conv in neck.convs]  # type: ignore[arg-type]
        self.cls_heads = [FoldedBranch(branch, dtype) for branch in head.cls_heads]  # type: ignore[arg-type]
        self.reg_heads = [FoldedBranch(branch, dtype) for branch in head.reg_heads]  # type: ignore[arg-type]
        self.cls_weight, self.reg_weight = head.cls_weight.detach().clone(), head.reg_weight.detach().clone()

    def features(self, crops: Tensor) -> list[Tensor]:
        x = F.max_pool2d(self.stem(crops.to(self.dtype)).relu_(), 3, 2, 1)
        levels: list[Tensor] = []
        for stage, blocks in enumerate(self.stages):
            for block in blocks:
                x = block(x)
            if stage in self.out_indices:
                levels.append(self.neck[len(levels)](x))
        return levels

    def embed_template(self, template: Sequence[Tensor]) -> TemplateKernels:
        return TemplateKernels(
            [branch.kernel(level).relu_() for branch, level in zip(self.cls_heads, template, strict=True)],
            [branch.kernel(level).relu_() for branch, level in zip(self.reg_heads, template, strict=True)],
        )

    def correlate(self, kernels: TemplateKernels, search: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        classes = [b(k, x) for b, k, x in zip(self.cls_heads, kernels.classification, search, strict=True)]
        codes = [b(k, x) for b, k, x in zip(self.reg_heads, kernels.regression, search, strict=True)]
        return weighted_sum(classes, self.cls_weight), weighted_sum(codes, self.reg_weight)


def _folded(part: ConvNorm, dtype: torch.dtype) -> FoldedConv:
    return FoldedConv(part.conv, part.bn, dtype)


def fold(modules: ModuleNetwork, dtype: torch.dtype) -> SiameseNetwork:
    """The folded network where its parts are the known ones, else the modules themselves."""
    backbone, neck, head = modules.backbone, modules.neck, modules.head
    if not (isinstance(backbone, SiameseResNet) and isinstance(neck, ChannelReducer)):
        return modules
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(head.cls_weight.device.type, enabled=False):
        return FoldedNetwork(backbone, neck, head, dtype)
