"""The ResNet of SiamRPN++ (https://arxiv.org/abs/1812.11703, section 4.2).

It keeps stride 8 to the end by dilation, and has no padding where it strides, so that translation of
the input is translation of the features. Beside a dilated ResNet:

* the 7x7 stem and the 3x3 convolution that strides are not padded: 127 -> 61 -> 31 -> 15 pixels, 255 -> 31;
* the shortcut of a stage that strides or dilates is a 3x3 convolution, shaped as the one it bridges;
* the first block of a dilated stage has half of the stage's dilation.

Tensors are named as in the published checkpoints: `conv1`, `bn1`, `layer1.0.conv1`, `layer2.0.downsample.0` ...
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .siamese import SiameseBackbone

BLOCKS = {14: (1, 1, 1, 1), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
EXPANSION = 4


class SiameseBottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut; `geometry` is stride, padding and dilation of the 3x3."""

    conv_norm_pairs = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(
        self, in_channels: int, width: int, *, geometry: tuple[int, int, int], downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        stride, padding, dilation = geometry
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)


class SiameseResNet(SiameseBackbone):
    """Images (B, 3, H, W) to the outputs of the stages in `out_indices`, stride 8 from stage 1 on.

    Args:
        depth: 50, 101, 152, or 14 with one block per stage.
        out_indices: which of the stages 0 to 3 are given out.
        strides, dilations: of each stage.
        trained_stages: stages 0 to 3 that learn, see `SiameseBackbone`.
        base_channels: width of the stem, 64 in the published network.
    """

    conv_norm_pairs = (("conv1", "bn1"),)

    def __init__(
        self,
        depth: int = 50,
        *,
        out_indices: Sequence[int] = (1, 2, 3),
        strides: Sequence[int] = (1, 2, 1, 1),
        dilations: Sequence[int] = (1, 1, 2, 4),
        trained_stages: Sequence[int] | None = (),
        base_channels: int = 64,
    ) -> None:
        super().__init__(trained_stages)
        if depth not in BLOCKS:
            raise ValueError(f"SiameseResNet depth {depth}: expected one of {sorted(BLOCKS)}")
        self.out_indices = tuple(out_indices)
        self.conv1 = nn.Conv2d(3, base_channels, 7, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = base_channels
        self.stage_names = [f"layer{stage + 1}" for stage in range(max(out_indices) + 1)]
        for stage, name in enumerate(self.stage_names):
            width = base_channels * 2**stage
            self.add_module(
                name, make_siamese_stage(channels, width, BLOCKS[depth][stage], strides[stage], dilations[stage])
            )
            channels = width * EXPANSION
        self.out_channels = [base_channels * 2**stage * EXPANSION for stage in self.out_indices]
        self.initialise()

    def extract(self, x: Tensor) -> list[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        features = []
        for number, stage in enumerate(self.stages()):
            x = stage(x)
            if number in self.out_indices:
                features.append(x)
        return features

    def stages(self) -> list[nn.Module]:
        return [getattr(self, name) for name in self.stage_names]


def make_siamese_stage(in_channels: int, width: int, blocks: int, stride: int, dilation: int) -> nn.Sequential:
    """The blocks of one stage; the first changes stride, dilation and width."""
    out_channels = width * EXPANSION
    first_dilation = max(dilation // 2, 1)
    geometry = (stride, 0 if stride > 1 else first_dilation, first_dilation)
    if stride == 1 and dilation == 1:
        shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    else:
        shortcut = nn.Conv2d(in_channels, out_channels, 3, *geometry, bias=False)
    downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))
    first = SiameseBottleneck(in_channels, width, geometry=geometry, downsample=downsample)
    rest = [SiameseBottleneck(out_channels, width, geometry=(1, dilation, dilation)) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)
