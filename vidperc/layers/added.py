"""Layers that pretrained weights of a plain network lack.

A module that has such layers has a method `complete(state, prefix)`, which adds what they shall begin with to the
tensors of a file (`vidperc.checkpoint.backbone`).
"""

from __future__ import annotations

from torch import Tensor, nn


def keep_own(module: nn.Module, state: dict[str, Tensor], prefix: str, *names: str) -> None:
    """The module's own tensors below the named children, or of these names, for a state that lacks them."""
    for name, value in module.state_dict().items():
        if name.split(".")[0] in names:
            state.setdefault(f"{prefix}.{name}", value)
