"""Optimisers with rules by parameter: backbone learning rates, no decay of norms and biases."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class Rule:
    """Factors for all parameters whose name has a match of `pattern`, a regular expression.

    `start` is when they begin to learn, in epochs (in steps where the schedule's length is); until then they are
    as if frozen, without gradients. Of several rules the latest start counts.
    """

    pattern: str
    lr: float = 1.0
    weight_decay: float = 1.0
    start: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """What all optimisers share. The factors of all rules that match a parameter multiply.

    Args:
        lr: base learning rate, for the whole batch of a step.
        weight_decay: of all parameters but those that rules or the two factors below change.
        rules: by name.
        norm_decay: factor of the weight decay of normalisation layers' parameters.
        bias_decay: factor of the weight decay of other biases, but for those that move deformable convolutions.
        bias_lr: factor of the learning rate of the same biases.
    """

    lr: float = 0.02
    weight_decay: float = 1e-4
    rules: Sequence[Rule] = ()
    norm_decay: float = 1.0
    bias_decay: float = 1.0
    bias_lr: float = 1.0

    @abstractmethod
    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of the model's parameters that learn."""

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups: those with the same rate and decay together, in the order of the model.

        Raises:
            ValueError: a rule matches no parameter, or nothing learns.
        """
        norms = {id(p) for m in model.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)}
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        names = [name for name, _ in model.named_parameters()]
        for rule in self.rules:
            if not any(re.search(rule.pattern, name) for name in names):
                raise ValueError(f"optimiser rule '{rule.pattern}' matches no parameter; there are {names[:3]} ...")
        groups: dict[tuple[float, float, float], list[nn.Parameter]] = {}
        for name, parameter in named:
            groups.setdefault(self._settings(name, id(parameter) in norms), []).append(parameter)
        if not groups:
            raise ValueError("no parameter of the model learns")
        # base_lr is what the schedule's factor multiplies.
        return [
            {"params": parameters, "lr": lr, "base_lr": lr, "weight_decay": decay, "start": start}
            for (lr, decay, start), parameters in groups.items()
        ]

    def _settings(self, name: str, is_norm: bool) -> tuple[float, float, float]:
        """Rate, decay and start of a parameter."""
        lr, decay, start = self.lr, self.weight_decay, 0.0
        if is_norm:
            decay *= self.norm_decay
        elif name.endswith("bias") and "conv_offset." not in name:
            lr, decay = lr * self.bias_lr, decay * self.bias_decay
        for rule in self.rules:
            if re.search(rule.pattern, name):
                lr, decay, start = lr * rule.lr, decay * rule.weight_decay, max(start, rule.start)
        return lr, decay, start


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    momentum: float = 0.9
    nesterov: bool = False

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.groups(model), lr=self.lr, momentum=self.momentum, nesterov=self.nesterov)


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101)."""

    lr: float = 1e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.groups(model), lr=self.lr, betas=self.betas, eps=self.eps)


def wake(optimizer: torch.optim.Optimizer, time: float) -> None:
    """Let exactly those parameters learn whose `start` has come at `time`; both as in `Rule`."""
    if not any(group.get("start", 0.0) > 0 for group in optimizer.param_groups):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.requires_grad_(time >= group["start"])


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Every group's learning rate to `factor` times its base; gives the largest."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return max(group["lr"] for group in optimizer.param_groups)
