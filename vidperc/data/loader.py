"""Batches of clips: their order, their seeds, their sharing between processes and workers."""

from __future__ import annotations

import signal
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from ..structures import Clip
from .datasets import ClipDataset, Clips, Sample
from .packing import pack, unpack
from .problems import DataError


def collate(clips: list[Clip]) -> list[Clip]:
    """A batch is the list of its clips; the model pads them."""
    return clips


class TrainingBatches(Sampler[list[Sample]]):
    """The endless batches of a run, a function of the seed and the number of the iteration alone.

    Every epoch is a new permutation, shared out so that `world_size` processes together see, at each
    iteration, what one process with `world_size` times the batch would. Starting at iteration n gives
    what an uninterrupted run gives from n on.

    Args:
        size: number of samples.
        batch_size: of one process.
        seed: of orders and of the samples' draws.
        repeats: how often each sample is taken per epoch, on average; fractions are drawn (`repeat_factors`).
        groups: samples of one number are batched together where there are enough (`aspect_groups`).
        start: iteration to begin with.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        repeats: Sequence[float] | None = None,
        groups: Sequence[int] | None = None,
        start: int = 0,
    ) -> None:
        if size < 1 or batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(f"batches: {size} samples, batch {batch_size}, process {rank} of {world_size}")
        for name, given in (("repeats", repeats), ("groups", groups)):
            if given is not None and len(given) != size:
                raise ValueError(f"batches: {len(given)} {name} for {size} samples")
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.world_size, self.start = rank, world_size, start
        self.repeats = None if repeats is None else np.asarray(repeats, dtype=float)
        self.groups = None if groups is None else np.asarray(groups)

    @property
    def batches_per_epoch(self) -> float:
        """Iterations in which every sample is seen once, on average."""
        total = self.size if self.repeats is None else float(self.repeats.sum())
        return total / (self.batch_size * self.world_size)

    def __iter__(self) -> Iterator[list[Sample]]:
        for iteration, whole in enumerate(self._endless()):
            if iteration < self.start:
                continue
            own = whole[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]
            first = (iteration * self.world_size + self.rank) * self.batch_size
            yield [(int(sample), self._draw_seed(first + place)) for place, sample in enumerate(own)]

    def _draw_seed(self, position: int) -> int:
        return int(np.random.SeedSequence([self.seed, 1, position]).generate_state(1, np.uint64)[0] >> 1)

    def _endless(self) -> Iterator[list[int]]:
        """Batches of all processes together; what an epoch leaves over begins the next one's."""
        whole = self.batch_size * self.world_size
        waiting: dict[int, list[int]] = defaultdict(list)
        epoch = 0
        while True:
            for sample in self._order(epoch):
                queue = waiting[0 if self.groups is None else int(self.groups[sample])]
                queue.append(sample)
                if len(queue) == whole:
                    yield list(queue)
                    queue.clear()
            epoch += 1

    def _order(self, epoch: int) -> list[int]:
        rng = np.random.default_rng([self.seed, 0, epoch])
        if self.repeats is None:
            return rng.permutation(self.size).tolist()
        whole = np.floor(self.repeats)
        times = whole + (rng.random(self.size) < self.repeats - whole)
        return rng.permutation(np.repeat(np.arange(self.size), times.astype(int))).tolist()


class WorkerBatches(Iterator[list[Clip]]):
    """Batches that worker processes read ahead.

    The workers end with the first error: they ignore signals, so that an interpreter which still holds them, if only
    in the traceback of that error, could not end. The error keeps no traceback from below here for that reason.

    Raises:
        DataError: what a worker's data set raises.
    """

    def __init__(self, loader: DataLoader[Clip]) -> None:
        self._batches: Iterator[Any] = iter(loader)

    def __next__(self) -> list[Clip]:
        try:
            batch: list[Clip] = unpack(next(self._batches))
            return batch
        except BaseException as error:
            failure = _plain(error.with_traceback(None))
        # Outside of the clause, or the first error would be kept as the context of this one.
        self._batches = iter(())
        raise failure


def _plain(error: BaseException) -> BaseException:
    """A worker's error with its own message: PyTorch gives the text of the whole traceback, that is its last line."""
    if isinstance(error, DataError):
        return DataError(str(error).strip().splitlines()[-1].partition(": ")[2] or str(error))
    return error


def make_loader(dataset: Clips, batches: TrainingBatches, workers: int = 0) -> Iterator[list[Clip]]:
    """The batches, read ahead by `workers` processes; 0 reads in the training process itself."""
    if workers == 0:
        return iter(DataLoader(dataset, batch_sampler=batches, collate_fn=collate))
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=pack,
        num_workers=workers,
        worker_init_fn=_set_up_worker,
        prefetch_factor=4,
        generator=torch.Generator().manual_seed(batches.seed),
    )
    return WorkerBatches(loader)


def _set_up_worker(worker: int) -> None:
    """One thread each: the workers share the cores among themselves. Draws do not depend on the worker."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    # A signal to the whole group of processes must not take the workers away before the run has ended its step;
    # they end when the training process does.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def repeat_factors(labels: Sequence[Sequence[int]], threshold: float = 1e-3) -> list[float]:
    """How often each sample is repeated so that rare classes are seen more (https://arxiv.org/abs/1908.03195).

    A class in a fraction f of the samples has factor max(1, sqrt(threshold / f)); a sample has its
    largest class's. `labels` are the classes of each sample.
    """
    counts = Counter(label for row in labels for label in set(row))
    factor = {label: max(1.0, (threshold * len(labels) / count) ** 0.5) for label, count in counts.items()}
    return [max((factor[label] for label in row), default=1.0) for row in labels]


def balanced_factors(labels: Sequence[Sequence[int]]) -> list[float]:
    """How often each sample is taken so that every class is seen about equally often; the mean is 1."""
    counts = Counter(label for row in labels for label in set(row))
    weights = np.asarray([np.mean([1 / counts[label] for label in set(row)]) if row else 0.0 for row in labels])
    if not weights.any():
        return [1.0] * len(labels)
    return (weights * len(labels) / weights.sum()).tolist()


def aspect_groups(dataset: ClipDataset) -> list[int]:
    """0 for pictures that are at least as wide as high, 1 for others."""
    return [int((dataset.aspect_ratio(number) or 1.0) < 1.0) for number in range(len(dataset))]


def shard_videos(lengths: Sequence[int], world_size: int) -> list[list[int]]:
    """Whole videos shared out to processes, about equally many frames each: numbers of the videos by process."""
    shares: list[list[int]] = [[] for _ in range(world_size)]
    loads = [0] * world_size
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        lightest = loads.index(min(loads))
        shares[lightest].append(number)
        loads[lightest] += lengths[number]
    return [sorted(share) for share in shares]
