"""A convolution with what usually follows it."""

from __future__ import annotations

from torch import Tensor, nn

from .norm import NormKind, make_norm


class ConvNorm(nn.Module):
    """Convolution `conv`, normalisation `norm`, ReLU; without a norm the convolution has a bias.

    Args:
        norm: kind of normalisation, None for none.
        relu: end with a ReLU.
        options: the convolution's, as stride and padding.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        norm: NormKind | None = None,
        relu: bool = True,
        **options: int,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=norm is None, **options)  # type: ignore[arg-type]
        self.norm = nn.Identity() if norm is None else make_norm(norm, out_channels)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)))
