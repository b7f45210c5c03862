"""The networks of SiamRPN as tracking runs them: as modules, or with batch norms folded into convolutions.

Folding halves the passes over memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..layers.fuse import fuse_conv_norm
from ..ops.correlation import depthwise_correlation
from .siamrpn_backbones import FOLDED, FoldedBackbone
from .siamrpn_convs import best_conv, plain_conv, weights_of
from .siamrpn_head import AveragedRPNHead, ChannelReducer, CorrelationBranch, TemplateKernels, weighted_sum


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
    head: AveragedRPNHead

    def features(self, crops: Tensor) -> list[Tensor]:
        return self.neck(self.backbone(crops))

    def embed_template(self, template: Sequence[Tensor]) -> TemplateKernels:
        return self.head.embed_template(template)

    def correlate(self, kernels: TemplateKernels, search: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        return self.head(kernels, search)


class FoldedLevel:
    """Both branches of the head on one level, norms folded, best for template and search features of `sides`.

    Both convolve the same search features first: that is done for both at once.
    """

    def __init__(
        self,
        classification: CorrelationBranch,
        regression: CorrelationBranch,
        dtype: torch.dtype,
        sides: tuple[int, int],
    ) -> None:
        template, side = sides
        branches = (classification, regression)
        self.kernels = [plain_conv(b.kernel_convs.conv, dtype, template, relu=True) for b in branches]
        weights, biases = zip(*(weights_of(b.search_convs.conv) for b in branches))
        self.search = best_conv(torch.cat(weights), torch.cat(biases), (1, 0, 1), dtype, side, relu=True)
        side -= 2 + template - 3  # the 3x3 convolution, and the correlation with what one leaves of the template
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
        backbone: folded.
        neck, head: their batch norms folded into their convolutions.
        dtype: of weights and activations.
        template_side: of the template's features, that it is to be fastest for.
    """

    def __init__(
        self, backbone: FoldedBackbone, neck: nn.Module, head: AveragedRPNHead, dtype: torch.dtype, template_side: int
    ) -> None:
        self.dtype, self.backbone = dtype, backbone
        self.neck: list[Callable[[Tensor], Tensor]] = [nn.Identity() for _ in head.cls_heads]
        if isinstance(neck, ChannelReducer):
            self.neck = [plain_conv(part.conv, dtype, backbone.side) for part in neck.convs]  # type: ignore[arg-type, union-attr]
        pairs = zip(head.cls_heads, head.reg_heads, strict=True)
        sides = template_side, backbone.side
        self.levels = [FoldedLevel(*pair, dtype, sides) for pair in pairs]  # type: ignore[arg-type]
        self.shares = [share.detach().clone() for share in head.shares()]

    def features(self, crops: Tensor) -> list[Tensor]:
        return [reduce(x) for reduce, x in zip(self.neck, self.backbone(crops.to(self.dtype)), strict=True)]

    def embed_template(self, template: Sequence[Tensor]) -> TemplateKernels:
        pairs = [[kernel(x) for kernel in level.kernels] for level, x in zip(self.levels, template, strict=True)]
        return TemplateKernels([pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def correlate(self, kernels: TemplateKernels, search: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        pairs = zip(kernels.classification, kernels.regression, strict=True)
        outputs = [level(pair, x) for level, pair, x in zip(self.levels, pairs, search, strict=True)]
        classes, codes = ([each[branch] for each in outputs] for branch in (0, 1))
        return weighted_sum(classes, self.shares[0]), weighted_sum(codes, self.shares[1])


def fold(modules: ModuleNetwork, dtype: torch.dtype, side: int, template_side: int) -> SiameseNetwork:
    """The folded network where its parts are the known ones, else the modules.

    Args:
        modules: the network.
        dtype: of weights and activations.
        side: of the search crops that it is to be fastest for.
        template_side: the same of the template's features.
    """
    if type(modules.backbone) not in FOLDED or not isinstance(modules.neck, (ChannelReducer, nn.Identity)):
        return modules
    device = next(modules.head.parameters()).device.type
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device, enabled=False):
        backbone, neck, head = (
            fuse_conv_norm(deepcopy(part).eval()) for part in (modules.backbone, modules.neck, modules.head)
        )
        folded = FOLDED[type(backbone)](backbone, dtype, side)
        return FoldedNetwork(folded, neck, head, dtype, template_side)  # type: ignore[arg-type]


def middle(features: Sequence[Tensor], side: int) -> list[Tensor]:
    """The middle `side` x `side` positions of each level (B, D, h, w)."""
    first = (features[0].shape[-1] - side) // 2
    part = slice(first, first + side)
    return [feature[..., part, part] for feature in features]
