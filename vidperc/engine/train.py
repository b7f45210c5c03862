"""Training: a plain loop over Lightning Fabric, on one device or many.

A step is a function of the weights, the seed and the step's number: the batch and its draws come from
`TrainingBatches`, the networks' random numbers are seeded anew at each step. A run that is stopped and
resumed therefore goes on exactly as it would have.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor

from ..checkpoint.save import write_checkpoint
from ..data.datasets import Clips
from ..data.loader import TrainingBatches, make_loader
from ..sequence import SequenceModel
from ..structures import Clip
from .ema import EMA
from .experiment import Experiment, TrainData
from .log import RunLog
from .memory import recompute
from .optim import set_rate, wake
from .schedule import Schedule
from .state import Progress, load_run, require_space, save_run
from .test import test

HALVES: dict[str, Literal["bf16-mixed", "16-mixed"]] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}


class NotFiniteError(RuntimeError):
    """A loss that is NaN or infinite; the message names the step, the losses and the file with the batch."""


@dataclass
class TrainResult:
    """How a run ended."""

    iteration: int  # steps done
    total: int
    scores: dict[str, float] = field(default_factory=dict)  # of the last evaluation
    best: float | None = None
    stopped: int | None = None  # the signal that stopped it early
    data_share: float = 0.0  # of the time, spent waiting for data


@dataclass(frozen=True)
class RunOptions:
    """What may change from run to run without changing what is learnt.

    Args:
        seed: of weights, orders and draws.
        workers: processes that read data, for each training process.
        accelerator, devices, num_nodes, strategy: as Lightning Fabric takes them; "auto" finds a GPU. Under `torchrun`
            its environment decides which devices.
        resume: go on from `last.pt` in the folder where there is one.
        save_every: seconds between checkpoints for resuming.
        log_every: steps between logged rows.
        show: a progress line on stderr.
        tensorboard: write events too.
    """

    seed: int = 0
    workers: int = 2
    accelerator: str = "auto"
    devices: int | str = 1
    num_nodes: int = 1
    strategy: str = "auto"
    resume: bool = False
    save_every: float = 300
    log_every: int = 10
    show: bool = True
    tensorboard: bool = True


def train(experiment: Experiment, out: str | Path, options: RunOptions | None = None) -> TrainResult:
    """Train a model and write `last.pt`, `best.pt`, `log.jsonl`, `log.csv` and TensorBoard events to `out`.

    `best.pt` holds the weights with the highest validation score (without validation data, the last ones),
    the averaged ones where the schedule keeps an average. SIGTERM and SIGINT end the run after the step at hand,
    with `last.pt` written.

    Raises:
        ValueError: the experiment has no training data or no schedule, or a batch that cannot be shared out.
        NotFiniteError: the loss is NaN or infinite; `bad_batch.pt` holds the batch.
        CheckpointError: `last.pt` is of another model. OSError: `out` cannot be written, or its disk is too full.
    """
    options = options or RunOptions()
    data, schedule = experiment.train_data, experiment.schedule
    if data is None or schedule is None:
        missing = "training data" if data is None else "a schedule"
        raise ValueError(f"this config has no {missing}: it cannot be trained as it is")
    fabric = make_fabric(schedule, options)
    run = _Run(fabric, experiment, data, schedule, Path(out), options)
    with stop_signals() as stop:
        try:
            return run.loop(stop)
        finally:
            run.close()


class Autocast(MixedPrecision):
    """Low precision in the networks only: the clips come as they are.

    Fabric's own would round the boxes too, in bfloat16 those beyond pixel 256 to every second pixel.
    """

    def convert_input(self, data: Any) -> Any:
        return data


def make_fabric(schedule: Schedule, options: RunOptions) -> Fabric:
    """Fabric, with the processes launched."""
    on_cpu = options.accelerator == "cpu" or not torch.cuda.is_available()
    half = HALVES.get(schedule.precision)
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=options.strategy,
        plugins=None if half is None else Autocast(half, "cpu" if on_cpu else "cuda"),
    )
    fabric.launch()
    return fabric


class _Run:
    """The parts of a run that is going on."""

    def __init__(
        self,
        fabric: Fabric,
        experiment: Experiment,
        data: TrainData,
        schedule: Schedule,
        out: Path,
        options: RunOptions,
    ) -> None:
        self.fabric, self.experiment, self.data = fabric, experiment, data
        self.schedule, self.out, self.options = schedule, out, options
        self.micro_batch = micro_batch(schedule, fabric.world_size)
        model = experiment.model.train()
        recompute(model, schedule.recompute)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = schedule.optimizer.build(model)
        self.wrapped, self.optimizer = fabric.setup(model, optimizer)
        self.model: SequenceModel = self.wrapped.module
        self.ema = EMA(self.model, schedule.ema_decay) if schedule.ema_decay else None
        self.scaler = getattr(fabric.strategy.precision, "scaler", None)
        if fabric.is_global_zero:
            out.mkdir(parents=True, exist_ok=True)
            require_space(out, self.model, average=self.ema is not None)
        self.progress = Progress()
        if options.resume and (out / "last.pt").is_file():
            self.progress = load_run(out / "last.pt", self.model, self.optimizer, self.ema, self.scaler)
        batches = self._order()
        self.per_epoch = batches.batches_per_epoch / schedule.accumulate
        self.total = schedule.length(self.per_epoch)
        last = 0 if data.last is None else round(schedule.steps(data.last_epochs, self.per_epoch))
        self.change = max(self.total - last, 0)  # the step from which on other data is taken
        self.batches = make_loader(self._dataset(), batches, options.workers)
        self.scores: dict[str, float] = {}
        self.waited = self.worked = 0.0

    def _order(self) -> TrainingBatches:
        """The batches from where the run is."""
        return TrainingBatches(
            len(self.data.dataset), self.micro_batch, seed=self.options.seed, rank=self.fabric.global_rank,
            world_size=self.fabric.world_size, repeats=self.data.repeats, groups=self.data.groups,
            start=self.progress.iteration * self.schedule.accumulate,
        )  # fmt: skip

    def _dataset(self) -> Clips:
        """What the run learns from where it is."""
        last = self.data.last
        return self.data.dataset if last is None or self.progress.iteration < self.change else last

    def loop(self, stop: list[int]) -> TrainResult:
        """All steps from where the run is to its end, or to a signal."""
        log: AbstractContextManager[RunLog | None] = nullcontext(None)
        if self.fabric.is_global_zero:
            log = RunLog(
                self.out, self.total, start=self.progress.iteration, show=self.options.show,
                tensorboard=self.options.tensorboard,
            )  # fmt: skip
        signalled, saved = None, time.perf_counter()
        with log as writer:
            while self.progress.iteration < self.total:
                values = self.step()
                self.progress.iteration += 1
                done = self.progress.iteration
                if writer is not None and ((done - 1) % self.options.log_every == 0 or done == self.total):
                    writer.step(done - 1, values)
                if self._evaluation_due(done):
                    self.evaluate(writer)
                signalled = self._agree(stop[0] if stop else 0)
                if signalled:
                    break
                if self._agree(int(time.perf_counter() - saved > self.options.save_every)):
                    self.save()
                    saved = time.perf_counter()
            self.save()
        return TrainResult(
            self.progress.iteration, self.total, self.scores, self.progress.best, signalled or None,
            self.waited / max(self.waited + self.worked, 1e-9),
        )  # fmt: skip

    def close(self) -> None:
        """End the data workers. They ignore signals, so that an interpreter which still holds them could not end."""
        self.batches = iter(())

    def step(self) -> dict[str, float]:
        """One optimiser step; its losses, learning rate and times."""
        number = self.progress.iteration
        if number == self.change and self.data.last is not None:
            self.batches = make_loader(self._dataset(), self._order(), self.options.workers)
        rate = set_rate(self.optimizer, self.schedule.factor(number, self.per_epoch))  # type: ignore[arg-type]
        wake(self.optimizer, number / self.schedule.steps(1, self.per_epoch))  # type: ignore[arg-type]
        torch.manual_seed(step_seed(self.options.seed, number, self.fabric.global_rank))
        began, waited = time.perf_counter(), 0.0
        sums: dict[str, float] = {}
        for part in range(self.schedule.accumulate):
            asked = time.perf_counter()
            clips = next(self.batches)
            waited += time.perf_counter() - asked
            last = part == self.schedule.accumulate - 1
            with self.fabric.no_backward_sync(self.wrapped, enabled=not last):
                losses: dict[str, Tensor] = self.wrapped(clips)
                loss = torch.stack([value.float() for value in losses.values()]).sum()
                named = {"loss": loss, **losses}
                values = torch.stack([value.detach().float() for value in named.values()]).tolist()  # one transfer
                self._check(dict(zip(named, values)), clips)
                self.fabric.backward(loss / self.schedule.accumulate)
            for name, value in zip(named, values):
                sums[name] = sums.get(name, 0.0) + value / self.schedule.accumulate
        if self.schedule.clip_norm is not None:
            norm = self.fabric.clip_gradients(
                self.wrapped, self.optimizer, max_norm=self.schedule.clip_norm, error_if_nonfinite=False
            )
            sums["grad_norm"] = float(norm)  # type: ignore[arg-type]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model)
        seconds = time.perf_counter() - began
        self.waited += waited
        self.worked += seconds - waited
        return {**sums, "lr": rate, "data_time": waited, "step_time": seconds}

    def _check(self, values: dict[str, float], clips: list[Clip]) -> None:
        """Stop all processes where the loss of one is not finite."""
        bad = not math.isfinite(values["loss"])
        if not self._agree(int(bad)):
            return
        name = "bad_batch.pt" if self.fabric.world_size == 1 else f"bad_batch_{self.fabric.global_rank}.pt"
        if bad:
            save_batch(self.out / name, clips)
        where = f"; the batch is in {self.out / name}" if bad else " in another process"
        raise NotFiniteError(f"loss not finite at step {self.progress.iteration + 1}: {values}{where}")

    def _agree(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.fabric.world_size == 1:
            return value
        return int(self.fabric.all_reduce(torch.tensor(value), reduce_op="max"))  # type: ignore[arg-type]

    def _evaluation_due(self, done: int) -> bool:
        if done == self.total:
            return True
        if self.schedule.evaluate_every is None:
            return False
        every = max(round(self.schedule.steps(self.schedule.evaluate_every, self.per_epoch)), 1)
        return done % every == 0

    def evaluate(self, log: RunLog | None) -> None:
        """Score the model, averaged where there is an average, and keep it where it is the best so far."""
        data = self.experiment.validation_data or self.experiment.test_data
        with self.ema.applied(self.model) if self.ema is not None else nullcontext():
            better = True
            if data is not None:
                self.scores = test(
                    self.model, data, rank=self.fabric.global_rank, world_size=self.fabric.world_size,
                    gather=self._gather if self.fabric.world_size > 1 else None,
                )  # fmt: skip
                if data.metric not in self.scores:
                    raise ValueError(f"the scores have no '{data.metric}'; there are {', '.join(self.scores)}")
                score = self.scores[data.metric]
                better = self.progress.best is None or score > self.progress.best
                if better:
                    self.progress.best, self.progress.best_iteration = score, self.progress.iteration
            if better and self.fabric.is_global_zero:
                write_checkpoint(self.out / "best.pt", self.model.state_dict(), self._meta())
        if log is not None and self.scores:
            log.scores(self.progress.iteration - 1, self.scores)

    def _gather(self, own: Any) -> list[Any]:
        shares: list[Any] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(shares, own)
        return shares

    def _meta(self) -> dict[str, Any]:
        return {
            "task": self.experiment.task, "classes": list(self.experiment.classes),
            "iteration": self.progress.iteration, "scores": dict(self.scores), "seed": self.options.seed,
        }  # fmt: skip

    def save(self) -> None:
        """Write `last.pt`."""
        if self.fabric.is_global_zero:
            save_run(
                self.out / "last.pt", self.model, self.optimizer, replace(self.progress), self._meta(), self.ema,
                self.scaler,
            )  # fmt: skip


def micro_batch(schedule: Schedule, world_size: int) -> int:
    """Clips that each process sees at once.

    Raises:
        ValueError: the batch cannot be shared out evenly.
    """
    parts = schedule.accumulate * world_size
    if schedule.batch_size % parts:
        raise ValueError(
            f"a batch of {schedule.batch_size} cannot be shared out to {world_size} processes"
            f" in {schedule.accumulate} parts"
        )
    return schedule.batch_size // parts


def step_seed(seed: int, iteration: int, rank: int) -> int:
    """The seed of the networks' random numbers at a step."""
    return int(np.random.SeedSequence([seed, 2, iteration, rank]).generate_state(1, np.uint64)[0] >> 1)


def save_batch(path: Path, clips: list[Clip]) -> None:
    """A batch as plain tensors, to look into with `torch.load`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [
        {
            "video": clip.video,
            "key": clip.key,
            "frames": [
                {
                    "image": frame.image.contiguous(),
                    "index": frame.index,
                    "name": frame.name,
                    "instances": {} if frame.instances is None else dict(frame.instances.set_fields()),
                }
                for frame in clip.frames
            ],
        }
        for clip in clips
    ]
    torch.save(content, path)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that SIGTERM and SIGINT add themselves to; a second one acts as usual."""
    caught: list[int] = []
    before: dict[int, Any] = {}

    def catch(number: int, frame: Any) -> None:
        caught.append(number)
        signal.signal(number, before[number])

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, catch)
    except ValueError:  # not the main thread: signals are somebody else's
        before.clear()
    try:
        yield caught
    finally:
        for caught_number, handler in before.items():
            signal.signal(caught_number, handler)
