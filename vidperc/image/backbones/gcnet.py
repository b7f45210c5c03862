"""GCNet (https://arxiv.org/abs/1904.11492): residual blocks that tell every pixel about the whole picture."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ...layers.added import keep_own
from .resnet import Bottleneck


class ContextBlock(nn.Module):
    """The picture's features, weighted by an attention that all pixels share, added to each of them (figure 4d).

    Args:
        channels: of the maps.
        ratio: of the width between the two layers that transform the context to `channels`.
    """

    def __init__(self, channels: int, ratio: float = 1 / 16) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )  # fmt: skip
        nn.init.kaiming_normal_(self.conv_mask.weight, nonlinearity="relu")
        nn.init.zeros_(self.conv_mask.bias)  # type: ignore[arg-type]
        for value in self.channel_add_conv[-1].parameters():
            nn.init.zeros_(value)

    def forward(self, x: Tensor) -> Tensor:
        attention = self.conv_mask(x).flatten(2).softmax(-1)  # (B, 1, H * W)
        context = x.flatten(2) @ attention.transpose(1, 2)  # (B, D, 1)
        return x + self.channel_add_conv(context[..., None])


class ContextBottleneck(Bottleneck):
    """A `Bottleneck` with a context block after its last convolution.

    Args:
        ratio: of the context block.
        options: as `Bottleneck`'s.
    """

    def __init__(self, in_channels: int, width: int, *, ratio: float = 1 / 16, **options: Any) -> None:
        super().__init__(in_channels, width, **options)
        self.context_block = ContextBlock(width * self.expansion, ratio)

    def complete(self, state: dict[str, Tensor], prefix: str) -> None:
        keep_own(self, state, prefix, "context_block")

    def widen(self, x: Tensor) -> Tensor:
        return self.context_block(super().widen(x))
