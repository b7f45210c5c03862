"""Networks from a region's features to its class and box."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_kaiming
from ...layers.norm import NormKind


class BoxOutputs(NamedTuple):
    """Of P regions: logits (P, C + 1), background last, and codes (P, C * 4) or, for all classes one, (P, 4)."""

    logits: Tensor
    codes: Tensor


class BoxHead(nn.Module):
    """Convolutions and hidden layers shared by the two outputs (2 FC; 4 convolutions and 1 FC with a norm).

    Args:
        in_channels, roi_size: of the regions' features.
        classes: C, without background.
        hidden: width of the hidden layers.
        convs, fcs: how many of each.
        norm: after every convolution.
        class_agnostic: one box for all classes.
    """

    def __init__(
        self,
        in_channels: int = 256,
        *,
        classes: int = 80,
        roi_size: int = 7,
        hidden: int = 1024,
        convs: int = 0,
        fcs: int = 2,
        conv_channels: int = 256,
        norm: NormKind | None = None,
        class_agnostic: bool = False,
    ) -> None:
        super().__init__()
        self.classes, self.class_agnostic = classes, class_agnostic
        self.shared_convs = nn.ModuleList(
            ConvNorm(conv_channels if i else in_channels, conv_channels, 3, padding=1, norm=norm) for i in range(convs)
        )
        features = (conv_channels if convs else in_channels) * roi_size**2
        self.shared_fcs = nn.ModuleList(nn.Linear(hidden if i else features, hidden) for i in range(fcs))
        self.fc_cls = nn.Linear(hidden, classes + 1)
        self.fc_reg = nn.Linear(hidden, 4 if class_agnostic else 4 * classes)
        init_kaiming(self.shared_convs)
        for layer in self.shared_fcs:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        initialise_outputs(self.fc_cls, self.fc_reg)

    def flat(self, regions: Tensor) -> Tensor:
        """What the first hidden layer takes, (P, D * S * S), of regions (P, D, S, S)."""
        for conv in self.shared_convs:
            regions = conv(regions)
        return regions.flatten(1)

    def shared(self, regions: Tensor) -> Tensor:
        """The hidden features (P, hidden) of regions (P, D, S, S)."""
        x = self.flat(regions)
        for layer in self.shared_fcs:
            x = F.relu(layer(x), inplace=True)
        return x

    def outputs(self, hidden: Tensor) -> BoxOutputs:
        """The two outputs, from the hidden features."""
        return BoxOutputs(self.fc_cls(hidden).float(), self.fc_reg(hidden).float())

    def forward(self, regions: Tensor) -> BoxOutputs:
        return self.outputs(self.shared(regions))


class PooledBoxHead(nn.Module):
    """A stage of the backbone on each region, its mean, then the two outputs (C4; ResNet, section 4).

    Args:
        stage: network on regions (P, D, S, S), as `ResNetStage`; a mask head may share its result.
    """

    def __init__(self, stage: nn.Module, in_channels: int = 2048, *, classes: int = 80) -> None:
        super().__init__()
        self.classes, self.class_agnostic = classes, False
        self.stage = stage
        self.fc_cls = nn.Linear(in_channels, classes + 1)
        self.fc_reg = nn.Linear(in_channels, 4 * classes)
        initialise_outputs(self.fc_cls, self.fc_reg)

    def shared(self, regions: Tensor) -> Tensor:
        """The mean features (P, D) of regions."""
        return self.stage(regions).mean((2, 3))

    def outputs(self, hidden: Tensor) -> BoxOutputs:
        """The two outputs, from the mean features."""
        return BoxOutputs(self.fc_cls(hidden).float(), self.fc_reg(hidden).float())

    def forward(self, regions: Tensor) -> BoxOutputs:
        return self.outputs(self.shared(regions))


def initialise_outputs(fc_cls: nn.Linear, fc_reg: nn.Linear) -> None:
    """Small weights, so that training starts from even scores and the proposals themselves."""
    nn.init.normal_(fc_cls.weight, std=0.01)
    nn.init.normal_(fc_reg.weight, std=0.001)
    nn.init.zeros_(fc_cls.bias)
    nn.init.zeros_(fc_reg.bias)


def codes_of_labels(codes: Tensor, labels: Tensor) -> Tensor:
    """The codes (P, 4) of each region's class among (P, C * 4); one code for all classes stays."""
    if codes.shape[1] == 4:
        return codes
    return codes.unflatten(1, (-1, 4))[torch.arange(len(codes), device=codes.device), labels]
