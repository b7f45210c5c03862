"""Exchange of the layers inside of a network for others."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def replace_layers(network: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]) -> nn.Module:
    """Put `replacement(layer)` in the place of every layer inside of the network that has one, in place.

    Names stay as they are, and a layer that is shared stays shared.

    Args:
        replacement: gives the new layer, or None for one that stays.
    """
    known: dict[nn.Module, nn.Module | None] = {}
    for module in list(network.modules()):
        for name, child in module._modules.items():
            if child is None:
                continue
            if child not in known:
                known[child] = replacement(child)
            new = known[child]
            if new is not None:
                setattr(module, name, new)
    return network
