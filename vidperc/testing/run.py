"""What the tests of all tasks are given, and what they give back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from ..engine.processes import Processes
from ..evaluation.coco import Backend
from ..io.whole_files import write_json

Progress = Callable[[str, int, "int | None"], None]
ResultFormat = Literal["coco", "scalabel"]


@dataclass
class Run:
    """What a task's runner needs to know."""

    name: str
    data_root: str | Path | None
    sequences: Sequence[str] | None
    out: Path
    resume: bool
    format_only: bool
    model_options: dict[str, Any]
    progress: Progress | None
    world: Processes
    result_format: ResultFormat | None
    coco: Backend
    half: str | None = None
    refinement: str | None = None


@dataclass
class Outcome:
    """Scores, as values and as a table, and the files that were written."""

    scores: Any = None
    table: Any = None
    written: list[Path] = field(default_factory=list)


def note_settings(out: Path, settings: Mapping[str, Any], resume: bool) -> None:
    """Write `run.json`, what the results in a folder come from.

    Raises:
        ValueError: with `resume`, when the results that are there come from something else; says what.
    """
    path = out / "run.json"
    texts = {name: None if value is None else str(value) for name, value in settings.items()}
    if resume and path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        for name, value in texts.items():
            if before.get(name) != value:
                raise ValueError(
                    f"{path}: cannot resume, the results there have {name} {before.get(name)}, now it is {value}; "
                    "take another folder, or run without resuming"
                )
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, texts)


def scored(
    run: Run, scores: Mapping[str, float], written: Sequence[Path], details: Mapping[str, Any] | None = None
) -> Outcome:
    """The scores as a table and, with `details`, as values and `scores.json`, after what else was written."""
    content = {**scores, **(details or {})}
    path = run.out / "scores.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    table = Table("score", "value")
    for name, value in scores.items():
        table.add_row(name, f"{value:.4f}")
    return Outcome(content, table, [*written, path])
