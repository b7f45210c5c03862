"""Schedule: how long a model trains, how fast it learns when, and with which optimiser."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..sequence import Precision
from .optim import SGD, Optimizer


class Curve(ABC):
    """The learning rate's factor over a run, after the warm-up."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The factor at `progress`, 0 at the beginning and 1 at the end of the run."""


@dataclass(frozen=True)
class Cosine(Curve):
    """Half a cosine from 1 down to `final`, with the run's last `flat` part at `final`."""

    final: float = 0.0
    flat: float = 0.0

    def __call__(self, progress: float) -> float:
        done = min(progress / max(1 - self.flat, 1e-9), 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class WarmCosine(Curve):
    """Up by the square over the part `warm`, down half a cosine to `final`, flat for the last part `flat` (YOLOX)."""

    warm: float
    flat: float
    final: float = 0.05

    def __call__(self, progress: float) -> float:
        if progress < self.warm:
            return (progress / self.warm) ** 2
        return Cosine(self.final, self.flat / (1 - self.warm))((progress - self.warm) / (1 - self.warm))


@dataclass(frozen=True)
class Poly(Curve):
    """(1 - progress) ** power from 1 down to `final`."""

    power: float = 0.9
    final: float = 0.0

    def __call__(self, progress: float) -> float:
        return self.final + (1 - self.final) * max(1 - progress, 0.0) ** self.power


def rising(progress: float) -> float:
    """A warm-up in a straight line."""
    return progress


def held(progress: float) -> float:
    """A warm-up that stays where it begins, until the first step after it."""
    return 0.0


@dataclass(frozen=True)
class Schedule:
    """A training recipe.

    Args:
        epochs: length of the run; ignored where `iterations` is given.
        iterations: length of the run in optimiser steps; `milestones` then count steps too.
        milestones: when the learning rate is multiplied by `gamma`, in epochs (or steps).
        gamma: factor at each milestone.
        curve: the factor over the run instead of milestones: `Cosine`, `Poly`.
        warmup_iterations: steps in which the rate comes from `warmup_ratio` times itself to itself.
        warmup: how, `rising` or `held`: the part of the way as a function of the part of these steps.
        optimizer: with its learning rate for `batch_size`.
        batch_size: clips per optimiser step, over all processes and accumulated batches together.
        accumulate: backward passes per step; each process sees batch_size / (accumulate * processes) at once.
        clip_norm: largest norm of the gradients, None for no limit.
        ema_decay: keep a moving average of the weights, which is then what is evaluated; None for none.
        precision: of the networks: fp32, bf16 or fp16 (autocast; fp16 with loss scaling).
        evaluate_every: epochs between evaluations (or steps, where the length is in steps); None only at the end.
        recompute: names of submodules (as `backbone.layer3`) whose activations are recomputed in the
            backward pass instead of kept.
    """

    epochs: float = 12
    iterations: int | None = None
    milestones: Sequence[float] = ()
    gamma: float = 0.1
    curve: Curve | None = None
    warmup_iterations: int = 500
    warmup_ratio: float = 0.001
    warmup: Callable[[float], float] = rising
    optimizer: Optimizer = field(default_factory=SGD)
    batch_size: int = 16
    accumulate: int = 1
    clip_norm: float | None = None
    ema_decay: float | None = None
    precision: Precision = "fp32"
    evaluate_every: float | None = 1
    recompute: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.accumulate < 1:
            raise ValueError(f"schedule: batch size {self.batch_size}, accumulate {self.accumulate}: both at least 1")
        if (self.iterations if self.iterations is not None else self.epochs) <= 0:
            raise ValueError(f"schedule: a length above 0 is expected, got {self.iterations or self.epochs}")

    def length(self, per_epoch: float) -> int:
        """Optimiser steps of the run, at `per_epoch` steps per epoch."""
        return self.iterations if self.iterations is not None else max(math.ceil(self.epochs * per_epoch), 1)

    def steps(self, count: float, per_epoch: float) -> float:
        """A time given in epochs, or in steps where the length is, in steps."""
        return count if self.iterations is not None else count * per_epoch

    def factor(self, iteration: int, per_epoch: float) -> float:
        """The learning rate's factor at a step, counted from 0."""
        if self.curve is not None:
            factor = self.curve(iteration / self.length(per_epoch))
        else:
            factor = self.gamma ** sum(iteration >= self.steps(mark, per_epoch) for mark in self.milestones)
        if iteration < self.warmup_iterations:
            way = self.warmup(iteration / self.warmup_iterations)
            factor *= self.warmup_ratio + (1 - self.warmup_ratio) * way
        return factor
