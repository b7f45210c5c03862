"""The AlexNet of SiamRPN and SiamRPN++ (https://arxiv.org/abs/1812.11703, section 4): no padding, batch norms.

Side of the features: 127 -> 59 -> 29 -> 25 -> 12 -> 10 -> 8 -> 6 pixels, 255 -> 22, 287 -> 26. An output sees 87.
Tensors are named as in the published checkpoints: `features.0` ... `features.15`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .siamese import SiameseBackbone

CHANNELS = (96, 256, 384, 384, 256)
STARTS = (0, 4, 8, 11, 14)  # where each convolution stands in `features`


class SiameseAlexNet(SiameseBackbone):
    """Five convolutions to one level of 256 channels.

    Args:
        trained_stages: convolutions 0 to 4 that learn, see `SiameseBackbone`.
    """

    def __init__(self, trained_stages: Sequence[int] | None = ()) -> None:
        super().__init__(trained_stages)
        c1, c2, c3, c4, c5 = CHANNELS
        self.features = nn.Sequential(
            nn.Conv2d(3, c1, 11, 2), nn.BatchNorm2d(c1), nn.MaxPool2d(3, 2), nn.ReLU(inplace=True),
            nn.Conv2d(c1, c2, 5), nn.BatchNorm2d(c2), nn.MaxPool2d(3, 2), nn.ReLU(inplace=True),
            nn.Conv2d(c2, c3, 3), nn.BatchNorm2d(c3), nn.ReLU(inplace=True),
            nn.Conv2d(c3, c4, 3), nn.BatchNorm2d(c4), nn.ReLU(inplace=True),
            nn.Conv2d(c4, c5, 3), nn.BatchNorm2d(c5),
        )  # fmt: skip
        self.out_channels = [c5]
        self.initialise()

    def extract(self, x: Tensor) -> list[Tensor]:
        return [self.features(x)]

    def stages(self) -> list[nn.Module]:
        return [self.features[start:end] for start, end in zip(STARTS, [*STARTS[1:], None])]
