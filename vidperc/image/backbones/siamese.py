"""What the backbones of siamese trackers share: ImageNet's weights stay, but for the stages that learn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn

from ...layers.norm import freeze_statistics

Self = TypeVar("Self", bound="SiameseBackbone")


class SiameseBackbone(nn.Module):
    """Images (B, 3, H, W) to one feature map per level, stride 8, strided without padding.

    Args:
        trained_stages: stages that learn, their batch statistics too as soon as their parameters require
            gradients; everything else is fixed. None to learn everything from nothing.
    """

    out_channels: list[int]  # of each level

    def __init__(self, trained_stages: Sequence[int] | None) -> None:
        super().__init__()
        self.trained_stages = None if trained_stages is None else tuple(trained_stages)

    @abstractmethod
    def stages(self) -> list[nn.Module]:
        """The stages in order, as `trained_stages` counts them."""

    @abstractmethod
    def extract(self, x: Tensor) -> list[Tensor]:
        """The levels of images."""

    def forward(self, x: Tensor) -> list[Tensor]:
        if self.training:
            self._follow_statistics()
        return self.extract(x)

    def initialise(self) -> None:
        """Convolutions from nothing, and what is fixed fixed: the last thing in a subclass's `__init__`."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.train()

    def train(self: Self, mode: bool = True) -> Self:
        super().train(mode)
        if mode and self.trained_stages is not None:
            freeze_statistics(self)
            learning = {id(parameter) for stage in self._trained() for parameter in stage.parameters()}
            for parameter in self.parameters():
                if id(parameter) not in learning:
                    parameter.requires_grad_(False)
        return self

    def _trained(self) -> list[nn.Module]:
        stages = self.stages()
        return [stages[number] for number in self.trained_stages or ()]

    def _follow_statistics(self) -> None:
        """Normalise by the batch in those stages that learn by now: a schedule may let them begin late."""
        for stage in self._trained():
            learns = any(parameter.requires_grad for parameter in stage.parameters())
            for part in stage.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.train(learns)
