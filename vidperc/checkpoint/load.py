"""Reading checkpoints: published ones by a table of names, vidperc's own as they are."""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .keys import KeyRules, rename_keys

FORMAT = "vidperc"  # key that marks a checkpoint in vidperc's own form


class CheckpointError(ValueError):
    """A file that is no checkpoint, or one of another architecture; the message says what and where."""


@dataclass
class LoadReport:
    """What became of every tensor of a checkpoint."""

    path: str
    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # in the model, not in the file
    unexpected: list[str] = field(default_factory=list)  # in the file, not in the model
    reshaped: list[str] = field(default_factory=list)  # same name, other shape

    @property
    def complete(self) -> bool:
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        lines = [f"{self.path}: {len(self.matched)} tensors matched"]
        known = [*self.matched, *(text.split(" ")[0] for text in self.reshaped)]
        groups = {
            "missing": whole_parts(self.missing, known),
            "unexpected": whole_parts(self.unexpected, [*known, *self.missing]),
            "reshaped": self.reshaped,
        }
        for title, names in groups.items():
            if names:
                shown = ", ".join(names[:8]) + (f", and {len(names) - 8} more" if len(names) > 8 else "")
                lines.append(f"  {len(getattr(self, title))} {title}: {shown}")
        return "\n".join(lines)


def whole_parts(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The names, those of a part of the model that has no known ones as one: `flow.* (44)`."""
    inside = {prefix for name in known for prefix in _prefixes(name)}
    parts: dict[str, list[str]] = {}
    for name in names:
        part = next((prefix for prefix in _prefixes(name) if prefix not in inside), name)
        parts.setdefault(part, []).append(name)
    return [f"{part}.* ({len(group)})" if len(group) > 1 else group[0] for part, group in parts.items()]


def _prefixes(name: str) -> list[str]:
    """Of a dotted name, from its first word to all of it."""
    words = name.split(".")
    return [".".join(words[:count]) for count in range(1, len(words) + 1)]


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The dictionary in a checkpoint file, tensors on the CPU; code in it is never run.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: truncated, not a checkpoint, or one that wants to run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # DETR's family saves its arguments
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is refused: it is no plain checkpoint, or wants to run code ({error})"
        ) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: truncated, or not a checkpoint ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected a dictionary of tensors")
    return content


def state_of(content: dict[str, Any], path: str | Path) -> tuple[dict[str, Tensor], bool]:
    """The tensors of a checkpoint, and whether their names are vidperc's own.

    Known forms: vidperc's, `state_dict` (with `meta`), detectron2's `model`, a plain state dict.
    """
    own = FORMAT in content
    for key in ("state_dict", "model"):
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    state = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{path} holds no tensors")
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state, own


def load_state(model: nn.Module, state: dict[str, Tensor], path: str = "state", *, strict: bool = True) -> LoadReport:
    """Copy tensors by name into the model and report.

    Counters of a batch norm's batches, which files of old PyTorch versions do not have, may be missing.

    Raises:
        CheckpointError: with `strict`, when anything is missing, unexpected or of another shape.
    """
    target = model.state_dict()
    report = LoadReport(path)
    fitting = {}
    for name, value in state.items():
        if name not in target:
            report.unexpected.append(name)
        elif target[name].shape != value.shape:
            report.reshaped.append(f"{name} {tuple(value.shape)}, the model has {tuple(target[name].shape)}")
        else:
            fitting[name] = value
            report.matched.append(name)
    report.missing = [name for name in target if name not in state and not name.endswith("num_batches_tracked")]
    if strict and not report.complete:
        raise CheckpointError(f"the checkpoint does not fit the model\n{report}")
    model.load_state_dict(fitting, strict=False)
    return report


def load_checkpoint(model: nn.Module, path: str | Path, rules: KeyRules = (), *, strict: bool = True) -> LoadReport:
    """Load a file into the model; `rules` rename a published checkpoint's tensors.

    Raises:
        FileNotFoundError, CheckpointError: see `read_checkpoint` and `load_state`.
    """
    state, own = state_of(read_checkpoint(path), path)
    if not own:
        state = {new: state[old] for old, new in rename_keys(state, rules).items()}
    return load_state(model, state, str(path), strict=strict)
