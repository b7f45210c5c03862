"""Logs of a run: a JSON line and a CSV row per logged step, TensorBoard events, a progress line."""

from __future__ import annotations

import csv
import json
import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class RunLog:
    """Writes `log.jsonl`, `log.csv` and TensorBoard events into a run's folder, and shows a line of progress.

    Rows are flushed as they are written. A resumed run drops rows from `start` on, so that no step is
    there twice.
    """

    def __init__(
        self, folder: Path, total: int, *, start: int = 0, show: bool = True, tensorboard: bool = True
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.total, self.start = folder, total, start
        self._lines = folder / "log.jsonl"
        self._rows = [row for row in read_log(folder) if row["iteration"] < start] if start else []
        self._lines.write_text("".join(json.dumps(row) + "\n" for row in self._rows), encoding="utf-8")
        self._began = time.perf_counter()
        self._writer = _tensorboard(folder, start) if tensorboard else None
        self._progress = Progress(
            TextColumn("[bold]train"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[state]}"), TimeElapsedColumn(), console=Console(stderr=True), disable=not show,
            refresh_per_second=2,
        )  # fmt: skip
        self._bar = self._progress.add_task("train", total=total, completed=start, state="")

    def __enter__(self) -> RunLog:
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()
        self._write_csv()
        if self._writer is not None:
            self._writer.close()

    def step(self, iteration: int, values: dict[str, float]) -> None:
        """A row of training values: losses, lr, times."""
        self._write({"iteration": iteration, **values}, "train")
        line = " ".join(f"{name} {values[name]:.4g}" for name in ("loss", "lr", "data_time") if name in values)
        self._progress.update(self._bar, completed=iteration + 1, state=f"{line} eta {self._remaining(iteration)}")

    def scores(self, iteration: int, values: dict[str, float]) -> None:
        """A row of an evaluation's scores."""
        self._write({"iteration": iteration, **values}, "test")
        shown = " ".join(f"{name} {value:.4f}" for name, value in list(values.items())[:4])
        self.note(f"step {iteration + 1}: {shown}")

    def note(self, text: str) -> None:
        """A line above the progress."""
        self._progress.console.print(text, highlight=False)

    def _write(self, row: dict[str, Any], group: str) -> None:
        row = {**row, "kind": group}
        self._rows.append(row)
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._writer is not None:
            for name, value in row.items():
                if isinstance(value, float) and math.isfinite(value):
                    self._writer.add_scalar(f"{group}/{name}", value, row["iteration"])

    def _remaining(self, iteration: int) -> str:
        done = iteration + 1 - self.start
        seconds = int((time.perf_counter() - self._began) / max(done, 1) * (self.total - iteration - 1))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def _write_csv(self) -> None:
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        with (self.folder / "log.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self._rows)


def read_log(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of a run's `log.jsonl`; a last line cut off by a crash is left out."""
    path = Path(folder) / "log.jsonl"
    rows = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


def _tensorboard(folder: Path, start: int) -> Any:
    """A TensorBoard writer, None where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=start)  # what is there from then on is void
