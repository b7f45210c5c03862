"""DetectoRS's ResNets (https://arxiv.org/abs/2006.02334): switchable convolutions, and a way back from the neck."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.added import keep_own
from ...layers.replace import replace_layers
from ...layers.standardised_conv import like
from ...ops.deform_conv import deform_conv
from .resnet import Bottleneck, ResNet


class AdaptiveConv(nn.Conv2d):
    """A convolution by filters of zero mean and unit deviation, times and plus what a trained network's had.

    Weight standardisation that pretrained weights survive; the two are not learnt.
    """

    weight_gamma: Tensor
    weight_beta: Tensor

    def __init__(self, in_channels: int, out_channels: int, *args: Any, **options: Any) -> None:
        super().__init__(in_channels, out_channels, *args, **options)
        self.register_buffer("weight_gamma", torch.ones(out_channels, 1, 1, 1))
        self.register_buffer("weight_beta", torch.zeros(out_channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, adapted(self.weight, self.weight_gamma, self.weight_beta), self.bias)

    def complete(self, state: dict[str, Tensor], prefix: str) -> None:
        keep_statistics(state, prefix)

    def folded(self) -> nn.Conv2d:
        """The plain convolution that does the same, for as long as the weight does not change."""
        conv = like(nn.Conv2d, self)
        weight = adapted(self.weight, self.weight_gamma, self.weight_beta)
        conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
        return conv


def adapted(weight: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """The weight (O, I, k, k), every filter standardised, then times gamma and plus beta (O, 1, 1, 1)."""
    mean, deviation = statistics(weight)
    return gamma * (weight - mean) / deviation + beta


def keep_statistics(state: dict[str, Tensor], prefix: str) -> None:
    """Gamma and beta with which a trained weight of a state, that lacks them, stays as it is."""
    if f"{prefix}.weight" in state:
        mean, deviation = statistics(state[f"{prefix}.weight"])
        state.setdefault(f"{prefix}.weight_gamma", deviation)
        state.setdefault(f"{prefix}.weight_beta", mean)


def statistics(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation (O, 1, 1, 1) of every filter."""
    variance, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True)
    return mean, (variance + 1e-5).sqrt()


class SwitchedConv(nn.Module):
    """Two deformable convolutions, the second three times as dilated, mixed pixel by pixel (figure 4).

    What the whole picture shows is added before and after. Subclasses have the two weights.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.switch = nn.Conv2d(in_channels, 1, 1, stride)
        self.pre_context = nn.Conv2d(in_channels, in_channels, 1)
        self.post_context = nn.Conv2d(out_channels, out_channels, 1)
        self.offset_s = nn.Conv2d(in_channels, 18, 3, stride, 1)
        self.offset_l = nn.Conv2d(in_channels, 18, 3, stride, 1)
        for value in self.parameters():
            nn.init.zeros_(value)
        nn.init.ones_(self.switch.bias)  # type: ignore[arg-type]

    @abstractmethod
    def weights(self) -> tuple[Tensor, Tensor]:
        """Of the convolutions with the smaller and the larger dilation, (O, I, 3, 3) each."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, I, H, W), H and W at least 3, to (B, O, H', W')."""
        if min(x.shape[2:]) < 3:
            raise ValueError(f"a switchable convolution takes maps of at least 3x3 pixels, got {tuple(x.shape[2:])}")
        x = x + self.pre_context(x.mean((2, 3), keepdim=True))
        around = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 5, 1)
        switch = self.switch(around)
        small, large = self.weights()
        near = deform_conv(x, self.offset_s(around), small, stride=self.stride, padding=1)
        far = deform_conv(x, self.offset_l(around), large, stride=self.stride, padding=3, dilation=3)
        out = switch * near + (1 - switch) * far
        return out + self.post_context(out.mean((2, 3), keepdim=True))


class SAC(SwitchedConv):
    """A switchable atrous convolution; both weights are one, standardised, and a learnt difference (section 4).

    Args:
        conv: the 3x3 convolution of dilation 1 in whose place it stands, with its weight.
    """

    weight_gamma: Tensor
    weight_beta: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.in_channels, conv.out_channels, conv.stride[0])
        self.weight = conv.weight
        self.weight_diff = nn.Parameter(torch.zeros_like(conv.weight))
        self.register_buffer("weight_gamma", torch.ones(conv.out_channels, 1, 1, 1))
        self.register_buffer("weight_beta", torch.zeros(conv.out_channels, 1, 1, 1))

    def weights(self) -> tuple[Tensor, Tensor]:
        small = adapted(self.weight, self.weight_gamma, self.weight_beta)
        return small, small + self.weight_diff

    def complete(self, state: dict[str, Tensor], prefix: str) -> None:
        keep_statistics(state, prefix)
        keep_own(self, state, prefix, "weight_diff", *(name for name, _ in self.named_children()))

    def folded(self) -> FixedSAC:
        """The same for as long as the weights do not change."""
        return FixedSAC(self)


class FixedSAC(SwitchedConv):
    """A `SAC` whose two weights are computed."""

    small: Tensor
    large: Tensor

    def __init__(self, sac: SAC) -> None:
        super().__init__(sac.switch.in_channels, sac.post_context.in_channels, sac.stride)
        for name, part in sac.named_children():
            setattr(self, name, part)
        for name, weight in zip(("small", "large"), sac.weights()):
            self.register_buffer(name, weight.detach())

    def weights(self) -> tuple[Tensor, Tensor]:
        return self.small, self.large


class DetectoRSResNet(ResNet):
    """A `ResNet` of adaptive convolutions.

    Args:
        sac_stages: whose 3x3 convolutions are switchable.
        options: as `ResNet`'s.
    """

    def __init__(self, depth: int = 50, *, sac_stages: Sequence[int] = (), **options: Any) -> None:
        super().__init__(depth, **options)
        for stage in sac_stages:
            for block in getattr(self, self.stage_names[stage]):
                block.conv2 = SAC(block.conv2)
        inside = {part for sac in self.modules() if isinstance(sac, SAC) for part in sac.modules()}
        replace_layers(
            self, lambda layer: like(AdaptiveConv, layer) if type(layer) is nn.Conv2d and layer not in inside else None
        )
        self.train()


class ImageFirstResNet(DetectoRSResNet):
    """Gives the image (B, 3, H, W) before the stages' outputs, for a neck that looks at it again."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, *super().forward(x)]


class GuidedBottleneck(Bottleneck):
    """A `Bottleneck`; the first of a stage adds what a pyramid's level says of the picture."""

    rfp_conv: nn.Conv2d

    def complete(self, state: dict[str, Tensor], prefix: str) -> None:
        keep_own(self, state, prefix, "rfp_conv")

    def forward(self, x: Tensor, guide: Tensor | None = None) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.widen(self.inner(self.relu(self.bn1(self.conv1(x))))).add_(shortcut)
        return self.relu(x if guide is None else x + self.rfp_conv(guide))


class GuidedResNet(DetectoRSResNet):
    """A `DetectoRSResNet` that looks at an image again, guided by a pyramid of it.

    Args:
        guide_channels: of the guides.
        options: as `DetectoRSResNet`'s.
    """

    def __init__(self, depth: int = 50, *, guide_channels: int = 256, **options: Any) -> None:
        super().__init__(depth, block_stages=dict.fromkeys((1, 2, 3), GuidedBottleneck), **options)
        for name in self.stage_names[1:]:
            first = getattr(self, name)[0]
            first.rfp_conv = nn.Conv2d(guide_channels, first.conv3.out_channels, 1)
            nn.init.zeros_(first.rfp_conv.weight)
            nn.init.zeros_(first.rfp_conv.bias)

    def forward(self, x: Tensor, guides: Sequence[Tensor]) -> list[Tensor]:  # type: ignore[override]
        """The stages' outputs for an image (B, 3, H, W); `guides` are for the second to the last of them."""
        x = self.begin(x)
        features = []
        for name, guide in zip(self.stage_names, (None, *guides)):
            first, *others = getattr(self, name)
            x = first(x) if guide is None else first(x, guide)
            for block in others:
                x = block(x)
            features.append(x)
        return features
