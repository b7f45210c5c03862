"""A convolution with what usually follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from .norm import NormKind, make_norm


class ConvNorm(nn.Module):
    """Convolution `conv`, normalisation `norm`, ReLU; without a norm the convolution has a bias.

    Args:
        norm: kind of normalisation, None for none.
        relu: end with a ReLU.
        bias: of the convolution; None is none where a norm follows.
        make_conv: what makes the convolution, e.g. `ModulatedDeformConv`.
        options: the convolution's, as stride and padding.
    """

    conv_norm_pairs: ClassVar = (("conv", "norm"),)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        norm: NormKind | None = None,
        relu: bool = True,
        bias: bool | None = None,
        make_conv: Callable[..., nn.Module] = nn.Conv2d,
        **options: Any,
    ) -> None:
        super().__init__()
        bias = norm is None if bias is None else bias
        self.conv = make_conv(in_channels, out_channels, kernel_size, bias=bias, **options)
        self.norm = nn.Identity() if norm is None else make_norm(norm, out_channels)
        self.relu: nn.Module = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.norm(self.conv(x)))


def init_caffe2(module: nn.Module) -> None:
    """The convolutions below a module as Caffe2 begins them: uniform, of variance 1 / inputs; biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_uniform_(part.weight, a=1)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def init_kaiming(module: nn.Module) -> None:
    """The convolutions below a module: normal, by what leaves them (https://arxiv.org/abs/1502.01852); biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def init_xavier(module: nn.Module) -> None:
    """The convolutions below a module uniform, by inputs and outputs (Glorot and Bengio 2010); biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
