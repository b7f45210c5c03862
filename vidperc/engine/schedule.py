"""Schedule: how long and with which steps a model is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """The settings of an optimiser and of its learning rate over time.

    Args:
        epochs: passes over the data.
        lr: learning rate at `batch_size` images per step.
        milestones: epochs after which the rate falls to a tenth.
        warmup_steps, warmup_ratio: the rate rises linearly from `warmup_ratio` of itself in this many steps.
        clip_grad: largest norm of the gradient; None for no bound.
    """

    epochs: int = 12
    lr: float = 0.02
    milestones: tuple[int, ...] = (8, 11)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch_size: int = 16
    warmup_steps: int = 500
    warmup_ratio: float = 0.001
    clip_grad: float | None = None
