"""Experiment: what a config describes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ..checkpoint.keys import KeyRules
from ..sequence import SequenceModel

Task = Literal["det", "vid", "mot", "sot", "vis", "reid"]


@dataclass
class Experiment:
    """A model with all that is needed to train and to test it.

    Config functions return `fdl.Config(Experiment, ...)`. `vidperc.load` builds `model` alone, so data
    that is not on the machine does not hinder inference.
    """

    task: Task
    model: SequenceModel
    classes: tuple[str, ...] = ()
    published_keys: KeyRules = ()  # how a published checkpoint's names become the model's
    shipped: str | None = None  # file of the checkpoint that ships in vidperc/zoo/checkpoints
    train_data: Any = None
    test_data: Any = None
    schedule: Any = None
    extra: dict[str, Any] = field(default_factory=dict)
