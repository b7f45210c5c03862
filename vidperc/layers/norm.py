"""Normalisation layers chosen by name of the kind, with what freezing means for each."""

from __future__ import annotations

from typing import Literal

from torch import nn

NormKind = Literal["bn", "syncbn", "gn"]


def make_norm(kind: NormKind, channels: int, groups: int = 32) -> nn.Module:
    """Batch, synchronised batch or group normalisation over `channels`.

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "bn":
        return nn.BatchNorm2d(channels)
    if kind == "syncbn":
        return nn.SyncBatchNorm(channels)
    if kind == "gn":
        return nn.GroupNorm(groups, channels)
    raise ValueError(f"unknown norm '{kind}': expected bn, syncbn or gn")


def freeze(module: nn.Module) -> None:
    """Stop gradients of all parameters and keep batch statistics as they are."""
    module.eval()
    module.requires_grad_(False)


def freeze_statistics(module: nn.Module) -> None:
    """Put batch norms in evaluation mode: scale and shift still learn, running statistics stay."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
