"""Experiment: what a config describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..checkpoint.initial import InitialWeights
from ..checkpoint.keys import KeyRules
from ..data.datasets import Clips
from ..evaluation.evaluators import Evaluator
from ..sequence import SequenceModel
from ..structures import VideoRecord
from .schedule import Schedule

Task = Literal["det", "vid", "mot", "sot", "vis", "reid"]


@dataclass
class TrainData:
    """What a model trains on.

    `repeats` and `groups` say how often each sample is taken and which are batched together
    (`vidperc.data.loader`). A run's last `last_epochs` (steps, where its length is in steps) are on `last`: the same
    samples, changed otherwise.

    Raises:
        ValueError: `last` has another number of samples.
    """

    dataset: Clips
    repeats: Sequence[float] | None = None
    groups: Sequence[int] | None = None
    last: Clips | None = None
    last_epochs: float = 0

    def __post_init__(self) -> None:
        if self.last is not None and len(self.last) != len(self.dataset):
            raise ValueError(f"{len(self.dataset)} samples to train on, but {len(self.last)} in the last epochs")


@dataclass
class TestData:
    """Videos with their truth, and how predictions on them are scored.

    Args:
        records: the videos; the truth comes with their frames.
        evaluator: makes a fresh evaluator; its `process` takes `(video, predictions, truths)`.
        metric: the one of its scores that says which checkpoint is best; higher is better.
        protocol: how a model is run on a video; None for frame after frame.
    """

    __test__ = False  # not a test case, whatever its name begins with

    records: Sequence[VideoRecord]
    evaluator: Callable[[], Evaluator]
    metric: str
    protocol: Any = None


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
    pretrained: bool = False  # the model brings trained weights itself
    shipped: str | None = None  # file of the checkpoint that ships in vidperc/zoo/checkpoints
    shipped_part: str = ""  # of the model that it fills, as "detector"; all by default
    train_data: TrainData | None = None
    validation_data: TestData | None = None  # scored during training; where there is none, test_data is
    test_data: TestData | None = None
    schedule: Schedule | None = None
    initial: InitialWeights | None = None  # what training begins with, unless it is given a checkpoint
    extra: dict[str, Any] = field(default_factory=dict)
