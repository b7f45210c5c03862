"""What the readers share: objects from rows of numbers, with bad rows counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...structures import Instances
from ..problems import DataError, Problems, clean_boxes


def build_instances(
    boxes: Sequence[Sequence[float]] | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str],
    problems: Problems,
    size: tuple[int, int] | None,
    *,
    ids: Sequence[int] | None = None,
    ignored: Sequence[bool] | None = None,
    visibilities: Sequence[float] | None = None,
    clip: bool = True,
) -> tuple[Instances, np.ndarray]:
    """The objects whose boxes (N, 4) xyxy are usable, and the rows (K,) they came from.

    `names` say in `problems` where a bad row is; `size` is the picture's (height, width).
    """
    clean, usable = clean_boxes(np.asarray(boxes, np.float32).reshape(-1, 4), size, problems, list(names), clip)
    rows = np.flatnonzero(usable)

    def pick(values: Sequence[Any] | np.ndarray | None, kind: torch.dtype) -> torch.Tensor | None:
        return None if values is None else torch.as_tensor(np.asarray(values)[rows], dtype=kind)

    instances = Instances(
        boxes=torch.from_numpy(clean[rows]),
        labels=pick(np.asarray(labels, np.int64).reshape(-1), torch.int64),
        ids=pick(ids, torch.int64),
        ignored=pick(ignored, torch.bool),
        visibilities=pick(visibilities, torch.float32),
    )
    return instances, rows


def read_json(path: str | Path) -> Any:
    """A JSON file.

    Raises:
        FileNotFoundError: no such file. DataError: not JSON; names file and place.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def require_keys(entry: Any, keys: Sequence[str], where: str) -> None:
    """Raises DataError where a JSON object is none, or lacks a key; `where` names it."""
    lacking = [key for key in keys if not isinstance(entry, dict) or key not in entry]
    if lacking:
        raise DataError(f"{where} has no {', '.join(lacking)}")


def require_folder(path: str | Path, what: str) -> Path:
    """The path of a folder.

    Raises:
        FileNotFoundError: there is none; `what` says what it should hold.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder; it should hold {what}")
    return path
