"""Gradient checkpointing: recompute the activations of submodules in the backward pass instead of keeping them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def recompute(model: nn.Module, names: Sequence[str]) -> None:
    """Let submodules forget their inner activations in training.

    Batch norms that learn their statistics are refused: their second pass would count the batch twice.

    Raises:
        ValueError: no such submodule, or one with learning batch statistics.
    """
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules:
            raise ValueError(f"recompute: the model has no submodule '{name}'")
        learning = [
            inner
            for inner, module in modules[name].named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training and module.track_running_stats
        ]
        if learning:
            raise ValueError(f"recompute: '{name}.{learning[0]}' learns batch statistics, which would be counted twice")
        _wrap(modules[name])


def _wrap(module: nn.Module) -> None:
    forward = module.forward

    def checkpointed(*arguments: Any, **named: Any) -> Any:
        if not module.training:
            return forward(*arguments, **named)
        return checkpoint(forward, *arguments, use_reentrant=False, **named)

    module.forward = checkpointed  # type: ignore[method-assign]
