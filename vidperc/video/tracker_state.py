"""Saving the state of a tracker to a file and restoring it: the continuation gives the same ids and boxes.

The file is an npz without pickled objects: one JSON text that describes nested dataclasses, lists, dicts and
scalars, and every array and tensor under a name of its own. Any state made of these can be saved, such as that of
`TrackByDetection` with a detector that keeps tensors.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import zipfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

FORMAT = "vidperc-state-1"
PACKAGE = __name__.split(".")[0]


def save_state(state: Any, path: str | Path) -> None:
    """Write `state` to `path`; an existing file is replaced only once the new one is complete.

    Raises:
        TypeError: a value of a kind that cannot be written, named with its place.
    """
    arrays: dict[str, np.ndarray] = {}
    description = {"format": FORMAT, "state": _describe(state, arrays, type(state).__name__)}
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, description=np.array(json.dumps(description)), **arrays)
    partial.replace(path)


def load_state(path: str | Path, types: Sequence[type] = ()) -> Any:
    """The state that `save_state` wrote.

    Args:
        path: the file.
        types: dataclasses of the caller's own that the state holds; those of vidperc are known.

    Raises:
        ValueError: not such a file, damaged, or of a type that is not known.
        OSError: the file cannot be read.
    """
    known = {_name(kind): kind for kind in types}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        description = json.loads(str(arrays.pop("description")))
        if description["format"] != FORMAT:
            raise ValueError(f"format {description['format']}, expected {FORMAT}")
        return _restore(description["state"], arrays, known)
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a saved tracker state: {error}") from error


def _describe(value: Any, arrays: dict[str, np.ndarray], place: str) -> Any:
    """`value` as JSON; its arrays are added to `arrays`."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return _describe_array(value, arrays, place)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: _describe(getattr(value, field.name), arrays, f"{place}.{field.name}")
            for field in dataclasses.fields(value)
        }
        return {"type": _name(type(value)), "fields": fields}
    for kind in (list, tuple, deque):
        if type(value) is kind:
            items = [_describe(item, arrays, f"{place}[{k}]") for k, item in enumerate(value)]
            return {kind.__name__: items, "maxlen": value.maxlen if isinstance(value, deque) else None}
    if type(value) is dict and all(isinstance(key, (int, str)) for key in value):
        return {"dict": [[key, _describe(item, arrays, f"{place}[{key!r}]")] for key, item in value.items()]}
    raise TypeError(f"{place}: a {type(value).__name__} cannot be saved")


def _describe_array(value: np.ndarray | np.generic | torch.Tensor, arrays: dict[str, np.ndarray], place: str) -> Any:
    kind = "tensor" if isinstance(value, torch.Tensor) else "array"
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.hasobject:
        raise TypeError(f"{place}: an array of objects cannot be saved")
    name = f"a{len(arrays)}"
    arrays[name] = array
    return {kind: name}


def _restore(value: Any, arrays: dict[str, np.ndarray], known: dict[str, type]) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "tensor" in value:
        return torch.from_numpy(arrays[value["tensor"]])
    if "dict" in value:
        return {key: _restore(item, arrays, known) for key, item in value["dict"]}
    if "list" in value:
        return [_restore(item, arrays, known) for item in value["list"]]
    if "tuple" in value:
        return tuple(_restore(item, arrays, known) for item in value["tuple"])
    if "deque" in value:
        return deque((_restore(item, arrays, known) for item in value["deque"]), value["maxlen"])
    kind = known.get(value["type"]) or _find(value["type"])
    return kind(**{name: _restore(item, arrays, known) for name, item in value["fields"].items()})


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _find(name: str) -> type:
    """The dataclass of vidperc with this name; nothing else is ever imported or called."""
    module, _, attribute = name.partition(":")
    if module.split(".")[0] != PACKAGE:
        raise ValueError(f"type {name} is not known; give it in `types`")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"type {name} does not exist in this version") from error
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ValueError(f"type {name} is not a dataclass")
    return kind
