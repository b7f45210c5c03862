"""Convolutions and linear layers as inference runs them: fewer multiplications, weights cast once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .packed_conv import linear
from .replace import replace_layers
from .winograd import packed_products, winograd_conv

WINOGRAD_CHANNELS = 128  # with fewer, transforming the pixels costs more than the multiplications that it saves
WINOGRAD_PRODUCTS = 3e8  # multiplications of the direct convolution; with fewer, the many calls cost more

T = TypeVar("T")


class _Cached(Generic[T]):
    """What is derived from a weight; made again when the weight or what else it depends on has changed."""

    def __init__(self, derive: Callable[[Tensor], T]) -> None:
        self.derive = derive
        self.value: T | None = None
        self.state: tuple[object, ...] = ()

    def __call__(self, weight: Tensor, *depends: object) -> T:
        state = (0 if weight.is_inference() else weight._version, weight.device, *depends)
        if self.value is None or state != self.state:
            self.value, self.state = self.derive(weight.detach()), state
        return self.value

    def __reduce__(self) -> tuple[object, ...]:
        """Copies and pickles begin anew: layouts are of this process."""
        return type(self), (self.derive,)


class InferenceConv(nn.Conv2d):
    """A convolution with the parameters of another one.

    Without gradients on the CPU, wide 3x3 convolutions in float32 take Winograd's way, and those under
    autocast keep their weight in its precision. Else it is an `nn.Conv2d`.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation,  # type: ignore[arg-type]
            conv.groups, conv.bias is not None, conv.padding_mode, device="meta",
        )  # fmt: skip
        self.weight, self.bias = conv.weight, conv.bias
        self.train(conv.training)
        self.wide = (
            min(conv.in_channels, conv.out_channels) >= WINOGRAD_CHANNELS
            and (conv.kernel_size, conv.stride, conv.groups) == ((3, 3), (1, 1), 1)
            and (conv.padding_mode, len(set(conv.padding)), len(set(conv.dilation))) == ("zeros", 1, 1)
        )
        self._transformed, self._cast = _Cached(packed_products), _Cached(cast_to_autocast)

    def forward(self, x: Tensor) -> Tensor:
        if runs_as_it_is(x):
            return super().forward(x)
        if torch.is_autocast_enabled("cpu"):
            return self._conv_forward(x, self._cast(self.weight, torch.get_autocast_dtype("cpu")), self.bias)
        pixels = x.shape[0] * x.shape[2] * x.shape[3] if x.ndim == 4 else 0
        large = pixels * self.weight.numel() >= WINOGRAD_PRODUCTS
        if self.wide and large and x.dtype == self.weight.dtype == torch.float32:
            products = self._transformed(self.weight)
            return winograd_conv(x, products, self.bias, int(self.padding[0]), self.dilation[0])
        return super().forward(x)


class InferenceLinear(nn.Linear):
    """A linear layer with the parameters of another one.

    Without gradients on the CPU it is oneDNN's in float32, and under autocast its weight is cast once.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.train(linear.training)
        self._cast = _Cached(cast_to_autocast)

    def forward(self, x: Tensor) -> Tensor:
        if runs_as_it_is(x):
            return super().forward(x)
        if torch.is_autocast_enabled("cpu"):
            return F.linear(x, self._cast(self.weight, torch.get_autocast_dtype("cpu")), self.bias)
        return linear(x, self.weight, self.bias)


LAYERS: dict[type[nn.Module], Callable[..., nn.Module]] = {nn.Conv2d: InferenceConv, nn.Linear: InferenceLinear}


def runs_as_it_is(x: Tensor) -> bool:
    """Whether gradients, another device or a compiler want the plain layer."""
    return torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling()


def cast_to_autocast(weight: Tensor) -> Tensor:
    """A float32 weight in the precision of the CPU's autocast, in the memory order that it has."""
    return weight.to(torch.get_autocast_dtype("cpu"))


def for_inference(model: nn.Module) -> nn.Module:
    """Replace the plain convolutions and linear layers inside of a model by those of inference, in place.

    Parameters, names and the state dict stay as they are, and a layer that is shared stays shared.
    """
    return replace_layers(model, lambda layer: LAYERS[type(layer)](layer) if type(layer) in LAYERS else None)
