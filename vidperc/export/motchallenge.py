"""MOTChallenge submissions: result files checked, then packed into the zip that the server takes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..io.results import check_rows, line_of, load_rows


class SubmissionError(ValueError):
    """Results that the benchmark's server would refuse or misread; the message lists all problems."""


def check_results(path: str | Path, length: int | None = None) -> list[str]:
    """What is wrong with a sequence's result file, one line per kind of problem with the first row it is in.

    Checked are: columns and numbers, frames from 1 to `length` (the number of frames of the sequence),
    ids of 1 or more, widths and heights above 0, and that an id is once in a frame.
    """
    path = Path(path)
    try:
        rows = load_rows(path)
        if not len(rows):
            return []
        check_rows(path, rows)
    except (ValueError, OSError) as error:
        return [str(error)]
    last = np.inf if length is None else length
    problems = {
        f"the frame is after the last one, {length}": rows[:, 0] > last,
        "the id is below 1": rows[:, 1] < 1,
        "the width or height is not above 0": (rows[:, 4] <= 0) | (rows[:, 5] <= 0),
        "the frame has this id already": _repeated(rows[:, :2]),
    }
    return [_describe(path, text, wrong) for text, wrong in problems.items() if wrong.any()]


def _repeated(keys: np.ndarray) -> np.ndarray:
    """(N,) bool, rows equal to an earlier one."""
    _, first = np.unique(keys, axis=0, return_index=True)
    repeated = np.ones(len(keys), dtype=bool)
    repeated[first] = False
    return repeated


def _describe(path: Path, text: str, wrong: np.ndarray) -> str:
    more = f" (and in {int(wrong.sum()) - 1} more rows)" if wrong.sum() > 1 else ""
    return f"{path}, line {line_of(path, int(np.flatnonzero(wrong)[0]))}: {text}{more}"


def write_submission(path: str | Path, results: Mapping[str, str | Path], lengths: Mapping[str, int]) -> Path:
    """Check the result files, by name of sequence, and pack them as `NAME.txt` into the zip at `path`.

    `lengths` are the sequences of the benchmark with their numbers of frames: every one must have
    results, and no other. The zip is written only when nothing is wrong.

    Raises:
        SubmissionError: listing every problem found.
    """
    problems = [f"{name}: no results for this sequence" for name in sorted(set(lengths) - set(results))]
    problems += [f"{name}: no sequence of this benchmark has this name" for name in sorted(set(results) - set(lengths))]
    for name in sorted(set(results) & set(lengths)):
        problems += check_results(results[name], lengths[name])
    if problems:
        raise SubmissionError("not fit to be submitted:\n" + "\n".join(f"  {problem}" for problem in problems))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(results):
                archive.write(results[name], f"{name}.txt")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
