"""The state of a run on disk: what `last.pt` holds beside the weights, written so that a crash cannot spoil it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checkpoint.load import CheckpointError, load_state, read_checkpoint
from ..checkpoint.save import write_checkpoint
from .ema import EMA


@dataclass
class Progress:
    """Where a run is: steps done, and the best score so far with its step."""

    iteration: int = 0
    best: float | None = None
    best_iteration: int | None = None


def require_space(folder: Path, model: nn.Module, *, average: bool) -> None:
    """Raises OSError where the disk has no room for a run's checkpoints.

    Those are `last.pt` with the optimiser's two values a weight and perhaps averaged weights, `best.pt`, and for a
    moment the successor of either.
    """
    weights = sum(value.nbytes for value in model.state_dict().values())
    needed, free = 2 * weights * (4 + average), shutil.disk_usage(folder).free
    if free < needed:
        sizes = f"{free / 1e6:.0f} MB are free on this disk, the checkpoints of the run need {needed / 1e6:.0f} MB"
        raise OSError(f"{folder}: {sizes}")


def save_run(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    meta: dict[str, Any],
    ema: EMA | None = None,
    scaler: Any = None,
) -> None:
    """All that a run needs to go on exactly where it is."""
    training = {
        "iteration": progress.iteration,
        "best": progress.best,
        "best_iteration": progress.best_iteration,
        "optimizer": optimizer.state_dict(),
        "ema": None if ema is None else ema.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
    }
    write_checkpoint(path, model.state_dict(), meta, training=training)


def load_run(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None = None, scaler: Any = None
) -> Progress:
    """Bring model, optimiser and averages to where `save_run` left them.

    Raises:
        FileNotFoundError, CheckpointError: no such file, or not the state of such a run.
    """
    content = read_checkpoint(path)
    training = content.get("training")
    if training is None:
        raise CheckpointError(f"{path} holds weights alone, no state of a run to resume")
    load_state(model, content["state_dict"], str(path))
    optimizer.load_state_dict(training["optimizer"])
    if (ema is None) != (training["ema"] is None):
        raise CheckpointError(f"{path} was trained {'without' if ema else 'with'} a moving average of the weights")
    if ema is not None:
        ema.load_state_dict(training["ema"])
    if scaler is not None and training["scaler"] is not None:
        scaler.load_state_dict(training["scaler"])
    return Progress(training["iteration"], training["best"], training["best_iteration"])
