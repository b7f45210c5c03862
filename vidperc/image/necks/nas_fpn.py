"""NAS-FPN (https://arxiv.org/abs/1904.07392): a pyramid whose connections were searched for, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_caffe2


class NASFPN(nn.Module):
    """Feature maps of the backbone to levels P3 to P7.

    Args:
        in_channels: of the backbone's maps, finest first.
        out_channels: of every map given out.
        stages: how often the searched connections are repeated.
        start_level: the first of the backbone's maps that is used; three are.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: int = 256, *, stages: int = 7, start_level: int = 1
    ) -> None:
        super().__init__()
        used = list(in_channels[start_level:])
        if len(used) != 3:
            raise ValueError(f"NAS-FPN takes three feature maps, got {len(used)}")
        self.inputs, self.start_level = len(in_channels), start_level
        self.lateral_convs = nn.ModuleList(ConvNorm(width, out_channels, 1, norm="bn", relu=False) for width in used)
        self.extra_downsamples = nn.ModuleList(
            nn.Sequential(ConvNorm(out_channels, out_channels, 1, norm="bn", relu=False), nn.MaxPool2d(2, 2))
            for _ in range(2)
        )
        self.fpn_stages = nn.ModuleList(NASFPNStage(out_channels) for _ in range(stages))
        self.out_channels = [out_channels] * 5
        init_caffe2(self)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        if len(features) != self.inputs:
            raise ValueError(f"NAS-FPN expects {self.inputs} feature maps, got {len(features)}")
        maps = [conv(x) for conv, x in zip(self.lateral_convs, features[self.start_level :])]
        for downsample in self.extra_downsamples:
            maps.append(downsample(maps[-1]))
        for stage in self.fpn_stages:
            maps = stage(maps)
        return maps


class NASFPNStage(nn.Module):
    """The connections that the search found (figure 6f). A cell's name tells which levels it merges to which."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gp_64_4 = OutConv(channels)
        self.sum_44_4 = OutConv(channels)
        self.sum_43_3 = OutConv(channels)
        self.sum_34_4 = OutConv(channels)
        self.sum_55_5 = OutConv(channels)
        self.sum_77_7 = OutConv(channels)
        self.gp_75_6 = OutConv(channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        p3, p4, p5, p6, p7 = maps
        p4_mixed = self.gp_64_4(gated(resize(p6, p4), p4))
        p4_mixed = self.sum_44_4(p4_mixed + p4)
        p3 = self.sum_43_3(resize(p4_mixed, p3) + p3)
        p4 = self.sum_34_4(resize(p3, p4_mixed) + p4_mixed)
        p5 = self.sum_55_5(p5 + gated(resize(p4, p5), resize(p3, p5)))
        p7 = self.sum_77_7(p7 + gated(resize(p5, p7), resize(p4_mixed, p7)))
        p6 = self.gp_75_6(gated(resize(p7, p6), resize(p5, p6)))
        return [p3, p4, p5, p6, p7]


class OutConv(nn.Module):
    """ReLU, 3x3 convolution and batch norm after two maps were merged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_conv = ConvNorm(channels, channels, 3, padding=1, norm="bn", bias=True, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_conv(F.relu(x))


def gated(x: Tensor, other: Tensor) -> Tensor:
    """`other` plus x, channel by channel as much of it as the mean of `other` asks for (global pooling)."""
    return other + other.mean((2, 3), keepdim=True).sigmoid() * x


def resize(x: Tensor, like: Tensor) -> Tensor:
    """A map in the size of another one: nearest values where it grows, maxima where it shrinks.

    Raises:
        ValueError: sizes that do not divide each other.
    """
    (height, width), (new_height, new_width) = x.shape[2:], like.shape[2:]
    if (height, width) == (new_height, new_width):
        return x
    if new_height >= height and new_width >= width:
        return F.interpolate(x, size=(new_height, new_width))
    if height % new_height or width % new_width:
        raise ValueError(f"a map of {height}x{width} does not shrink to {new_height}x{new_width}")
    return F.max_pool2d(x, (height // new_height, width // new_width))
