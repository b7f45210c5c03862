"""Channel mapper: every feature map to the same number of channels, by one convolution each."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...layers.conv import ConvNorm
from ...layers.norm import NormKind


class ChannelMapper(nn.Module):
    """One convolution per map; further levels by 3x3 convolutions of stride 2, the first on the coarsest input.

    Args:
        in_channels: of the backbone's maps, finest first.
        kernel_size: of the convolutions that do not stride.
        levels: how many maps are given out, as many as are taken where None.
        norm, relu: what follows each convolution.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        kernel_size: int = 3,
        *,
        levels: int | None = None,
        norm: NormKind | None = None,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            ConvNorm(channels, out_channels, kernel_size, padding=kernel_size // 2, norm=norm, relu=relu)
            for channels in in_channels
        )
        self.extra_convs = nn.ModuleList(
            ConvNorm(out_channels if i else in_channels[-1], out_channels, 3, stride=2, padding=1, norm=norm, relu=relu)
            for i in range((levels or len(in_channels)) - len(in_channels))
        )
        self.out_channels = [out_channels] * (len(self.convs) + len(self.extra_convs))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        if len(features) != len(self.convs):
            raise ValueError(f"the channel mapper expects {len(self.convs)} feature maps, got {len(features)}")
        outputs = [conv(x) for conv, x in zip(self.convs, features)]
        source = features[-1]
        for conv in self.extra_convs:
            source = conv(source)
            outputs.append(source)
        return outputs
