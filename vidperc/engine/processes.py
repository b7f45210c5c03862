"""Several processes that share a job, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from ..data.loader import shard_videos

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """One of the processes of a job: which, and of how many."""

    rank: int = 0
    size: int = 1

    def share(self, items: Sequence[T], lengths: Sequence[int]) -> list[T]:
        """The items that this process takes, whole ones, about equally much work for each."""
        return [items[number] for number in shard_videos(lengths, self.size)[self.rank]]

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            distributed.barrier()

    def device(self, device: str | torch.device) -> str | torch.device:
        """A GPU of its own for each process of a machine, where `device` is a GPU without a number."""
        if str(device) == "cuda" and self.size > 1:
            return f"cuda:{os.environ.get('LOCAL_RANK', self.rank)}"
        return device


@contextmanager
def processes() -> Iterator[Processes]:
    """The processes that `torchrun` started this one with; alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Processes()
        return
    started = not distributed.is_initialized()
    if started:
        # They meet when the slowest is done, which may take long.
        distributed.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        yield Processes(distributed.get_rank(), distributed.get_world_size())
    finally:
        if started:
            distributed.destroy_process_group()
