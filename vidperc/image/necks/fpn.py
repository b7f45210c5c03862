"""Feature pyramid network (https://arxiv.org/abs/1612.03144), with the extra levels of RetinaNet and FCOS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_caffe2, init_xavier
from ...layers.norm import NormKind

ExtraLevels = Literal["pool", "on_input", "on_lateral", "on_output"]


class FPN(nn.Module):
    """Feature maps of falling resolution to as many of `out_channels`, coarse context added to fine maps.

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every map given out.
        levels: how many maps are given out; those beyond the backbone's are made from the coarsest one.
        start_level: the first of the backbone's maps that is used.
        extra: what extra levels are made of: the last output, every second pixel (`pool`), or by 3x3
            convolutions of stride 2, the first on the backbone's last map (`on_input`), on the last
            lateral map (`on_lateral`) or on the last output (`on_output`), the next on the one before.
        relu_before_extra: a ReLU before the extra convolutions but the first.
        norm: normalisation after every convolution, None for none.
        norm_on_lateral: whether the 1x1 lateral convolutions have it, too.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        levels: int = 5,
        *,
        start_level: int = 0,
        extra: ExtraLevels = "pool",
        relu_before_extra: bool = False,
        norm: NormKind | None = None,
        norm_on_lateral: bool = True,
    ) -> None:
        super().__init__()
        used = list(in_channels[start_level:])
        if levels < len(used):
            raise ValueError(f"FPN gives out at least the {len(used)} maps it takes, not {levels}")
        self.inputs, self.levels, self.start_level = len(in_channels), levels, start_level
        self.extra, self.relu_before_extra = extra, relu_before_extra
        lateral_norm = norm if norm_on_lateral else None
        self.lateral_convs = nn.ModuleList(
            ConvNorm(channels, out_channels, 1, norm=lateral_norm, relu=False) for channels in used
        )
        self.fpn_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, padding=1, norm=norm, relu=False) for _ in used
        )
        self.out_channels = [out_channels] * levels
        if extra != "pool":
            for i in range(levels - len(used)):
                channels = used[-1] if i == 0 and extra == "on_input" else out_channels
                self.fpn_convs.append(ConvNorm(channels, out_channels, 3, stride=2, padding=1, norm=norm, relu=False))
        init_xavier(self)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        laterals = self.laterals(features)
        outputs = [conv(x) for conv, x in zip(self.fpn_convs, laterals)]
        return self.extend(outputs, features[-1], laterals[-1])

    def laterals(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The used maps of the backbone in `out_channels`, coarse ones added to finer ones."""
        if len(features) != self.inputs:
            raise ValueError(f"FPN expects {self.inputs} feature maps, got {len(features)}")
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, features[self.start_level :])]
        for fine in range(len(laterals) - 1, 0, -1):
            self.add(laterals[fine - 1], laterals[fine])
        return laterals

    def add(self, fine: Tensor, coarse: Tensor) -> None:
        """Add a coarse map to the finer one, in place."""
        add_upsampled(fine, coarse)

    def extend(self, outputs: list[Tensor], last_input: Tensor, last_lateral: Tensor) -> list[Tensor]:
        """The maps of the backbone's levels and those of the extra ones."""
        used = len(outputs)
        if self.extra == "pool":
            while len(outputs) < self.levels:
                outputs.append(F.max_pool2d(outputs[-1], 1, 2))
            return outputs
        source = {"on_input": last_input, "on_lateral": last_lateral, "on_output": outputs[-1]}[self.extra]
        for i, conv in enumerate(self.fpn_convs[used:]):
            if i:
                source = F.relu(outputs[-1]) if self.relu_before_extra else outputs[-1]
            outputs.append(conv(source))
        return outputs


class BilinearFPN(FPN):
    """As `FPN`, with coarse maps interpolated (YOLACT)."""

    def add(self, fine: Tensor, coarse: Tensor) -> None:
        fine.add_(F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear"))


class Caffe2FPN(FPN):
    """As `FPN`, begun as Caffe2 begins convolutions."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        init_caffe2(self)


def add_upsampled(fine: Tensor, coarse: Tensor) -> None:
    """Add a coarse map (B, D, h, w) to a fine one (B, D, H, W), in place, every pixel to those it covers."""
    if fine.shape[2] == 2 * coarse.shape[2] and fine.shape[3] == 2 * coarse.shape[3]:
        fine.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).add_(coarse[:, :, :, None, :, None])
    else:
        fine.add_(F.interpolate(coarse, size=fine.shape[-2:]))
