"""Training a model by name: what `tools/train.py` calls."""

from __future__ import annotations

import importlib.metadata
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fiddle as fdl
import numpy as np
import torch
from fiddle import daglish
from fiddle.codegen import codegen
from fiddle.experimental import serialization
from fiddle.printing import as_dict_flattened

from .checkpoint.initial import InitialWeights
from .models import build, get_config, override

if TYPE_CHECKING:
    from .engine.train import RunOptions, TrainResult

# What a tracker learns on the synthetic videos is its detector; its appearance is task reid.
TINY = {
    "det": "tiny_det", "vid": "tiny_fgfa", "mot": "tiny_det", "sot": "tiny_siamese_rpn", "vis": "tiny_vis",
    "reid": "tiny_reid",
}  # fmt: skip


def default_name(task: str) -> str:
    """The config that `--task` alone trains: the task's tiny model on the synthetic videos.

    Raises:
        ValueError: no such task.
    """
    if task not in TINY:
        raise ValueError(f"name a config, or a task that has a tiny model: {', '.join(TINY)}")
    return TINY[task]


def train(
    name: str | None = None,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    options: RunOptions | None = None,
    checkpoint: str | Path | None = None,
    **overrides: Any,
) -> TrainResult:
    """Train a model by its config's name and write checkpoints, logs and the resolved config to `out`.

    Args:
        name: of the config; by default the task's tiny model.
        task: needed where there is no name.
        out: `out/train/NAME` by default.
        options: seed, workers, devices, resume ... (`RunOptions`).
        checkpoint: weights to begin with in place of the config's `initial` ones; a detector's go to the detector of
            its video model. What does not fit by name and shape is left as it is, and told. A run that is resumed
            has its own.
        overrides: arguments to change, by path (`**{"schedule.optimizer.lr": 0.01}`) or by name.

    Raises:
        KeyError, AttributeError: an unknown name or override. ValueError: nothing to train, no data, or a run that
            cannot go on with another optimiser. FileNotFoundError: the data, or the checkpoint. FileExistsError: the
            folder holds a run, which is not to be resumed.
    """
    try:
        from .engine.train import RunOptions
        from .engine.train import train as run
    except ImportError as error:
        raise ImportError(f'training needs more packages: pip install "vidperc[train]" ({error})') from error
    given = name is not None
    name = name or default_name(task or "")
    config = get_config(name)
    if given and task is not None and config.task != task:
        raise ValueError(f"'{name}' is a model for task {config.task}, not {task}")
    for key, value in overrides.items():
        override(config, key, value)
    options = options or RunOptions()
    folder = Path(out) if out is not None else Path("out") / "train" / name
    goes_on = (folder / "last.pt").is_file()
    if goes_on:
        check_resume(folder, config, options)
    save_config(config, folder, name, overrides, options.seed)
    torch.manual_seed(options.seed)
    experiment = build(config)
    initial = experiment.initial if checkpoint is None else InitialWeights(model=checkpoint)
    if initial is not None and not goes_on:
        for report in initial.load(experiment.model, config.published_keys):
            print(report, file=sys.stderr)
    return run(experiment, folder, options)


def check_resume(folder: Path, config: fdl.Config, options: RunOptions) -> None:
    """Whether a run in a folder goes on as it is asked to; settings that are others than before are told in a warning.

    Raises:
        FileExistsError: it is not to be resumed, and would be lost. ValueError: the optimiser is another one; its
            settings are saved with its state.
    """
    if not options.resume:
        raise FileExistsError(f"{folder} holds a run: --resume goes on with it, --out FOLDER begins another one")
    changes = changed_settings(folder, config, options.seed)
    told = {key: f"{key} {before!r} -> {now!r}" for key, (before, now) in sorted(changes.items())}
    fixed = [text for key, text in told.items() if key.startswith("schedule.optimizer")]
    if fixed:
        text = ", ".join(fixed)
        raise ValueError(f"{folder}: the optimiser goes on as it was saved, it cannot become another: {text}")
    if told:
        text = ", ".join(told.values())
        warnings.warn(f"{folder}: goes on with other settings than it began with: {text}", stacklevel=3)


def changed_settings(folder: Path, config: fdl.Config, seed: int) -> dict[str, tuple[Any, Any]]:
    """The settings that were others when the folder's `config.json` and `command.json` were written: (before, now)."""
    before = _flat(serialization.load_json((folder / "config.json").read_text(encoding="utf-8")))
    before["seed"] = json.loads((folder / "command.json").read_text(encoding="utf-8")).get("seed", seed)
    now = {**_flat(config), "seed": seed}
    keys = {*before, *now}
    return {key: (before.get(key), now.get(key)) for key in keys if before.get(key) != now.get(key)}


def _flat(config: fdl.Config) -> dict[str, Any]:
    """{path: value} of all settings, and {path: class or function} of all parts."""
    parts = {
        daglish.path_str(path).lstrip("."): fdl.get_callable(value).__qualname__
        for value, path in daglish.iterate(config)
        if isinstance(value, fdl.Buildable)
    }
    return {**parts, **as_dict_flattened(config)}


def save_config(config: fdl.Config, folder: Path, name: str, overrides: dict[str, Any], seed: int) -> None:
    """The resolved config as Python (`config.py`) and JSON (`config.json`), and what was typed (`command.json`)."""
    folder.mkdir(parents=True, exist_ok=True)
    source = "\n".join(codegen.codegen_dot_syntax(config).lines())
    (folder / "config.py").write_text(f'"""The resolved config of a run of {name}."""\n\n{source}\n', encoding="utf-8")
    (folder / "config.json").write_text(serialization.dump_json(config), encoding="utf-8")
    command = {
        "name": name, "seed": seed, "arguments": sys.argv[1:],
        "overrides": {key: repr(value) for key, value in overrides.items()},
        "vidperc": _version("vidperc"), "torch": torch.__version__, "numpy": np.__version__,
        "python": sys.version.split()[0],
    }  # fmt: skip
    (folder / "command.json").write_text(json.dumps(command, indent=1) + "\n", encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
