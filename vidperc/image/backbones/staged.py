"""What networks of a stem and stages have in common: which stages are given out, and which do not learn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from ...layers.norm import NormKind, freeze, freeze_statistics, make_norm


class StagedBackbone(nn.Module):
    """Images (B, 3, H, W) through a stem and the stages `layer1`, `layer2` ... to the outputs of some stages.

    Args:
        out_indices: which of the stages, counted from 0, are given out.
        frozen_stages: the stem and this many stages do not learn; 0 the stem alone, -1 none.
        norm_eval: running statistics stay as loaded while training.
    """

    stem_names: ClassVar[tuple[str, ...]] = ("conv1", "bn1")  # the children that the stem is made of

    def __init__(self, *, out_indices: Sequence[int], frozen_stages: int, norm_eval: bool) -> None:
        super().__init__()
        self.out_indices, self.frozen_stages, self.norm_eval = tuple(out_indices), frozen_stages, norm_eval
        self.stage_names: list[str] = []
        self.out_channels: list[int] = []

    def add_stage(self, stage: nn.Module, out_channels: int) -> None:
        """Append a stage; `out_channels` are those of its result."""
        if len(self.stage_names) in self.out_indices:
            self.out_channels.append(out_channels)
        self.stage_names.append(f"layer{len(self.stage_names) + 1}")
        self.add_module(self.stage_names[-1], stage)

    @abstractmethod
    def begin(self, x: Tensor) -> Tensor:
        """Images through the stem."""

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.begin(x)
        features = []
        for stage, name in enumerate(self.stage_names):
            x = getattr(self, name)(x)
            if stage in self.out_indices:
                features.append(x)
        return features

    def train(self, mode: bool = True) -> StagedBackbone:
        super().train(mode)
        if mode:
            if self.norm_eval:
                freeze_statistics(self)
            if self.frozen_stages >= 0:
                for name in (*self.stem_names, *self.stage_names[: self.frozen_stages]):
                    freeze(getattr(self, name))
        return self


def deep_stem(channels: int, norm: NormKind) -> nn.Sequential:
    """Three 3x3 convolutions of stride 2 in all, in place of one of 7x7 (ResNet-C of https://arxiv.org/abs/1812.01187)."""
    half = channels // 2
    layers: list[nn.Module] = []
    for before, after, stride in ((3, half, 2), (half, half, 1), (half, channels, 1)):
        layers += [
            nn.Conv2d(before, after, 3, stride, 1, bias=False), make_norm(norm, after), nn.ReLU(inplace=True)
        ]  # fmt: skip
    return nn.Sequential(*layers)


def pooled_shortcut(in_channels: int, out_channels: int, stride: int, norm: NormKind) -> nn.Sequential:
    """A shortcut whose mean of `stride` x `stride` pixels loses none of them (ResNet-D of the same paper)."""
    return nn.Sequential(
        nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        make_norm(norm, out_channels),
    )


def initialise(module: nn.Module) -> None:
    """Convolutions that a ReLU follows (https://arxiv.org/abs/1502.01852)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d) and part.bias is None:
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
