"""Models by name: find a config, change it, build it, load its checkpoint."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import fiddle as fdl
import torch
from fiddle import daglish
from torch import nn

from .checkpoint.download import download
from .checkpoint.load import LoadReport, load_checkpoint
from .checkpoint.sources import SHIPPED, local_file
from .engine.experiment import Experiment, Task
from .layers.fuse import fuse_conv_norm
from .layers.inference import for_inference
from .sequence import AUTOCAST, Precision, SequenceModel
from .zoo import published_checkpoint

TASKS = ("det", "vid", "mot", "sot", "vis")
ConfigFunction = Callable[[], fdl.Config]


def config_name(name: str) -> str:
    """A published config's name as a Python name: other characters become `_`, `.py` is dropped."""
    return re.sub(r"\W", "_", name.removesuffix(".py"))


def _functions(module: ModuleType) -> Iterator[tuple[str, ConfigFunction]]:
    """The public functions without required arguments that a config module defines itself."""
    for name, value in vars(module).items():
        if name.startswith("_") or not inspect.isfunction(value):
            continue
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if all(p.default is not p.empty for p in inspect.signature(value).parameters.values()):
            yield name, value


@cache
def _configs() -> dict[str, tuple[str, ConfigFunction]]:
    """{name: (task, function)} of every config that ships."""
    found: dict[str, tuple[str, ConfigFunction]] = {}
    for task in TASKS:
        package = importlib.import_module(f"vidperc.configs.{task}")
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
            if info.name.startswith("_"):
                continue
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name, function in _functions(module):
                if name in found:
                    raise RuntimeError(f"config '{name}' is defined twice, in {module.__name__} again")
                found[name] = (task, function)
    return found


def list_models(task: Task | None = None) -> list[str]:
    """The names that `load` knows, of one task or of all."""
    return sorted(name for name, (of, _) in _configs().items() if task in (None, of))


def get_config(name: str) -> fdl.Config:
    """A fresh config of an experiment by its (published) name.

    Raises:
        KeyError: an unknown name; the nearest ones are offered.
    """
    configs, wanted = _configs(), config_name(name)
    if wanted not in configs:
        near = difflib.get_close_matches(wanted, configs, n=5, cutoff=0.4)
        raise KeyError(f"unknown model '{name}'" + (f"; did you mean {', '.join(near)}?" if near else ""))
    config = configs[wanted][1]()
    if not (isinstance(config, fdl.Config) and fdl.get_callable(config) is Experiment):
        raise TypeError(f"config '{name}' must return fdl.Config(Experiment, ...)")
    return config


def override(config: fdl.Buildable, name: str, value: Any) -> None:
    """Set an argument in a config: `model.radius` by its path, or `radius` wherever the model has it.

    Raises:
        AttributeError: no part of the config has such an argument; its near names are offered.
        ValueError: a word for a number.
    """
    if "." in name:
        *path, last = name.split(".")
        for part in path:
            config = config[int(part)] if part.isdigit() else getattr(config, part)  # type: ignore[index]
        _set(config, last, value)
        return
    known: set[str] = set()
    count = 0
    for part, _ in daglish.iterate(config):
        if isinstance(part, fdl.Buildable):
            parameters = inspect.signature(fdl.get_callable(part)).parameters
            known.update(parameters)
            if name in parameters:
                _set(part, name, value)
                count += 1
    if not count:
        near = difflib.get_close_matches(name, known, n=4)
        raise AttributeError(
            f"no part of the model has an argument '{name}'" + (f"; near: {', '.join(near)}" if near else "")
        )


def _set(part: fdl.Buildable, name: str, value: Any) -> None:
    before = getattr(part, name, None)
    if isinstance(value, str) and isinstance(before, int | float):
        raise ValueError(f"{name}: expected a number such as {before}, got '{value}'")
    setattr(part, name, value)


def build(config: fdl.Config) -> Any:
    """What a config describes; an error is that of the part it happened in, without a print of all others."""
    try:
        return fdl.build(config)
    except Exception as error:
        cause = getattr(error, "proxy_base_exception", None)  # fiddle's message has every argument, networks too
        if cause is None:
            raise
        raise cause.with_traceback(error.__traceback__) from None


def load(
    name: str,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    *,
    strict: bool = True,
    fuse: bool = True,
    compile: bool = False,
    **overrides: Any,
) -> SequenceModel:
    """A model ready to stream.

    Args:
        name: of a config, see `list_models`; published names work as they are.
        checkpoint: a file, a URL, or "published" for the one of the zoo's table. None takes the
            checkpoint that ships with the package where there is one, else the weights are untrained.
        device: where it runs.
        precision: of its networks at inference: "fp32", exact on every device; "tf32" (NVIDIA GPUs: faster, factors
            rounded to 10 bits); "bf16", "fp16".
        strict: refuse a checkpoint that does not fill the model exactly.
        fuse: fold batch norms into convolutions, and run these as is fastest for inference. The tensors of
            a fused model are no longer those of its checkpoint; False for a model that shall learn or be saved.
        compile: run backbones and necks through `torch.compile`; the first pictures of a size then take long.
        overrides: arguments to change, e.g. `test_scale=(512, 288)`, `score_threshold=0.05`, `radius=10`,
            or by path: `**{"model.detector.backbone.depth": 101}`.

    Raises:
        KeyError: an unknown name, or "published" where nothing is. AttributeError: an unknown override.
        FileNotFoundError, CheckpointError: the checkpoint.
    """
    if precision not in AUTOCAST:
        raise ValueError(f"precision '{precision}': expected one of {', '.join(AUTOCAST)}")
    if precision == "tf32" and torch.device(device).type != "cuda":
        raise ValueError(f"precision 'tf32' is one of NVIDIA GPUs, not of device '{device}'")
    config = get_config(name)
    for key, value in overrides.items():
        override(config if "." in key else config.model, key, value)
    model: SequenceModel = build(config.model)
    path = _checkpoint_path(name, config, checkpoint)
    if path is not None:
        filled = model if checkpoint is not None else model.get_submodule(config.shipped_part)
        load_checkpoint(filled, path, config.published_keys, strict=strict)
    elif not config.pretrained and any(True for _ in model.parameters()):
        text = f'{name}: no checkpoint is given, its weights are untrained; checkpoint="published" takes the zoo\'s'
        warnings.warn(text, stacklevel=2)
    if fuse:
        for_inference(fuse_conv_norm(model.eval()))
    prepare(model, device, precision)
    if compile:
        for part in networks(model):
            part.compile()
    return model


def networks(model: nn.Module) -> list[nn.Module]:
    """The backbones and necks of a model, wherever they are."""
    named = model.named_modules()
    return [part for name, part in named if name.split(".")[-1] in ("backbone", "neck") and part is not None]


def prepare(model: SequenceModel, device: str | torch.device = "cpu", precision: Precision = "fp32") -> SequenceModel:
    """The model in evaluation mode on a device, its convolutions in channels_last."""
    model.precision = precision
    model = model.to(device)  # type: ignore[assignment]
    if any(True for _ in model.parameters()):
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.eval()


def _checkpoint_path(name: str, config: fdl.Config, checkpoint: str | Path | None) -> Path | None:
    if checkpoint is None:
        return None if config.shipped is None else SHIPPED / config.shipped
    if checkpoint == "published":
        return download(published_checkpoint(name))
    return local_file(checkpoint)


__all__ = ["LoadReport", "build", "config_name", "get_config", "list_models", "load", "override", "prepare"]
