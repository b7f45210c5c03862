"""VGG-16 (https://arxiv.org/abs/1409.1556) as SSD has it: fully connected layers as dilated convolutions."""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8)  # of the 13 convolutions, in base channels
POOL_AFTER = (1, 3, 6, 9)  # convolutions that a pooling of stride 2 follows
FIRST_OUTPUT = 22  # index of conv4_3's ReLU


class SSDVGG16(nn.Module):
    """Images (B, 3, H, W) to the outputs of conv4_3 (stride 8) and conv7 (stride 16).

    Tensors are named as torchvision's and the published checkpoints': `features.0.weight` ...

    Args:
        base_channels: width of the first convolution, 64 in all published networks.
    """

    def __init__(self, *, base_channels: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for index, factor in enumerate(WIDTHS):
            width = base_channels * factor
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            if index in POOL_AFTER:
                layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            channels = width
        wide = base_channels * 16
        layers += [
            nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(channels, wide, 3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, wide, 1),
            nn.ReLU(inplace=True),
        ]
        self.features = nn.Sequential(*layers)
        self.out_channels = [channels, wide]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index == FIRST_OUTPUT:
                features.append(x)
        return [*features, x]
