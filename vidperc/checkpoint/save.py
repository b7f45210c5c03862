"""Writing checkpoints in vidperc's own form: the model's tensors under its own names, and what they are of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .load import FORMAT

VERSION = 1


def write_checkpoint(path: str | Path, state: dict[str, Tensor], meta: dict[str, Any], **more: Any) -> Path:
    """Write `{"vidperc": version, "meta": ..., "state_dict": ...}`; the file is complete or not there at all.

    Raises:
        OSError: it cannot be written; a file of before is still there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    try:
        torch.save({FORMAT: VERSION, "meta": meta, "state_dict": tensors, **more}, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def save_checkpoint(
    model: nn.Module, path: str | Path, *, config: str | None = None, classes: Sequence[str] = (), **meta: Any
) -> Path:
    """Write a model's tensors, with the name of its config and its classes.

    Args:
        meta: more facts, of plain types, that `torch.load(weights_only=True)` takes.
    """
    return write_checkpoint(path, model.state_dict(), {"config": config, "classes": tuple(classes), **meta})
