"""Weight standardisation (https://arxiv.org/abs/1903.10520)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor, nn

from .replace import replace_layers

Network = TypeVar("Network", bound=nn.Module)


class StandardisedConv(nn.Conv2d):
    """A convolution by its weight with every filter's mean taken off and divided by its deviation (equation 5)."""

    def standardised(self) -> Tensor:
        """The weight that convolves."""
        filters = self.weight.flatten(1)  # (O, I * k * k)
        filters = (filters - filters.mean(1, keepdim=True)) / (filters.std(1, keepdim=True) + 1e-5)
        return filters.view_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.standardised(), self.bias)

    def folded(self) -> nn.Conv2d:
        """The plain convolution that does the same, for as long as the weight does not change."""
        conv = like(nn.Conv2d, self)
        conv.weight = nn.Parameter(self.standardised().detach(), requires_grad=False)
        return conv


Conv = TypeVar("Conv", bound=nn.Conv2d)


def like(kind: type[Conv], conv: nn.Conv2d) -> Conv:
    """A convolution of another kind with the parameters of `conv`."""
    new = kind(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation,  # type: ignore[arg-type]
        conv.groups, conv.bias is not None, conv.padding_mode, device="meta",
    )  # fmt: skip
    new.weight, new.bias = conv.weight, conv.bias
    return new.train(conv.training)


def standardise_weights(network: Network, parts: Sequence[str] = ("",)) -> Network:
    """Standardise the weights of all plain convolutions in the named parts of a network, by default all of it."""
    for part in parts:
        replace_layers(
            network.get_submodule(part),
            lambda layer: like(StandardisedConv, layer) if type(layer) is nn.Conv2d else None,  # type: ignore[arg-type]
        )
    return network
