"""Refinement of result files after the fact: what `vidperc refine` calls, and `track` and `test` when asked to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .io import MotWriter, read_mot
from .structures import Instances
from .video.refine import gaussian_smooth, interpolate, kalman_smooth

METHODS: dict[str, Callable[..., np.ndarray]] = {
    "linear": interpolate,
    "gaussian": gaussian_smooth,
    "kalman": kalman_smooth,
}


def refine_file(path: str | Path, out: str | Path, method: str = "linear", **options: Any) -> tuple[int, int]:
    """Fill gaps of the tracks in a MOTChallenge result file, or smooth them, and write another one.

    The class of a track is that of its first row; visibilities are not kept.

    Args:
        path: the results.
        out: where the refined ones go; it may be the same file.
        method: "linear", "gaussian" or "kalman", see `vidperc.video.refine`.
        options: of the method, as `max_gap=20`.

    Returns:
        Rows before and after.

    Raises:
        FileNotFoundError: no such file. ValueError: an unknown method; rows without ids, or an id twice in a frame.
        TypeError: an option that the method does not have. ResultError: a broken row, named.
    """
    if method not in METHODS:
        raise ValueError(f"refinement '{method}': expected one of {', '.join(METHODS)}")
    refine = METHODS[method]
    unknown = options.keys() - inspect.signature(refine).parameters.keys()
    if unknown:
        known = ", ".join(list(inspect.signature(refine).parameters)[1:])
        raise TypeError(f"refinement '{method}' has no option {', '.join(sorted(unknown))}; it has {known}")
    table = read_mot(path)
    if (table.ids < 0).any():
        row = int((table.ids < 0).argmax())
        raise ValueError(f"{path}, frame {int(table.frames[row]) + 1}: a row without an id; detections are not refined")
    rows = np.column_stack((table.frames, table.ids, table.boxes, table.confidences)).astype(np.float64)
    try:
        refined = refine(rows, **options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    classes = None if table.classes is None else dict(zip(table.ids[::-1].tolist(), table.classes[::-1].tolist()))
    with MotWriter(out) as writer:
        frames = refined[:, 0].astype(np.int64)
        for index in np.unique(frames).tolist():
            writer.write(index, _instances(refined[frames == index], classes))
    return len(rows), len(refined)


def refine_results(path: str | Path, out: str | Path, method: str = "linear", **options: Any) -> dict[Path, list[int]]:
    """`refine_file` for a file, or for every `*.txt` of a folder; by file written, rows before and after.

    Raises:
        FileNotFoundError: nothing to refine. ValueError, TypeError: as `refine_file`.
    """
    path, out = Path(path), Path(out)
    if not path.is_dir():
        return {out: list(refine_file(path, out, method, **options))}
    files = sorted(path.glob("*.txt"))
    if not files:
        raise FileNotFoundError(f"{path}: no result files (*.txt) in this folder")
    out.mkdir(parents=True, exist_ok=True)
    return {out / file.name: list(refine_file(file, out / file.name, method, **options)) for file in files}


def _instances(rows: np.ndarray, classes: dict[int, int] | None) -> Instances:
    ids = rows[:, 1].astype(np.int64)
    labels = None
    if classes is not None and all(classes[key] > 0 for key in ids.tolist()):
        labels = torch.tensor([classes[key] - 1 for key in ids.tolist()], dtype=torch.int64)
    return Instances(
        boxes=torch.from_numpy(rows[:, 2:6]),
        scores=torch.from_numpy(rows[:, 6]),
        ids=torch.from_numpy(ids),
        labels=labels,
    )
