"""What the commands show while they run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console()


def progress_bar(unit: str = "frames") -> Progress:
    """A progress line with speed and remaining time; silent where the output is no terminal."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=False, disable=not console.is_terminal)


@contextmanager
def frames_done(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress line of one run, moved by calls with the frames done and the frames in all."""
    with progress_bar() as bar:
        task = bar.add_task(what, total=None, speed="")

        def report(done: int, total: int | None) -> None:
            elapsed = bar.tasks[0].elapsed or 0
            bar.update(task, completed=done, total=total, speed=f"{done / elapsed:.1f}/s" if elapsed else "")

        yield report


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings as one line, without the place in the code."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        print(f"vidperc: warning: {message}", file=file or sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
