"""Normalisation layers chosen by name of the kind, with what freezing means for each."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

NormKind = Literal["bn", "frozen_bn", "exact_bn", "syncbn", "gn", "frozen"]


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that never learns nor counts, as Detectron2's and DETR's backbones have it."""

    num_batches_tracked: None

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        del self.num_batches_tracked
        self.num_batches_tracked = None
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        return super().train(False)


def make_norm(kind: NormKind, channels: int, groups: int = 32) -> nn.Module:
    """Normalisation over `channels`.

    Args:
        kind: `bn` batch normalisation, `frozen_bn` whose scale and shift do not learn, `exact_bn` as this one, which
            divides by the plain deviation; `syncbn` of all processes together; `gn` of groups; `frozen` Detectron2's.

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "bn":
        return nn.BatchNorm2d(channels)
    if kind == "frozen_bn":
        return nn.BatchNorm2d(channels).requires_grad_(False)
    if kind == "exact_bn":
        return nn.BatchNorm2d(channels, eps=0.0).requires_grad_(False)
    if kind == "syncbn":
        return nn.SyncBatchNorm(channels)
    if kind == "gn":
        return nn.GroupNorm(groups, channels)
    if kind == "frozen":
        return FrozenBatchNorm2d(channels)
    raise ValueError(f"unknown norm '{kind}': expected one of {get_args(NormKind)}")


def freeze(module: nn.Module) -> None:
    """Stop gradients of all parameters and keep batch statistics as they are."""
    module.eval()
    module.requires_grad_(False)


def freeze_statistics(module: nn.Module) -> None:
    """Put batch norms in evaluation mode: scale and shift still learn, running statistics stay."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
