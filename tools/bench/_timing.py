"""Timing that the benchmarks share."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def least_ms(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """The least time of each function; they take turns, so that all meet the same neighbours."""
    best = [float("inf")] * len(functions)
    for function in functions:
        function()
    synchronize()
    for _ in range(repeats):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            synchronize()
            best[i] = min(best[i], (time.perf_counter() - start) * 1e3)
    return best


def synchronize() -> None:
    """Wait for a GPU's work, where there is one at work."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
