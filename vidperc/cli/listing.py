"""`vidperc list`: the models that can be loaded by name."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from .screen import console


def add_list(command: argparse.ArgumentParser) -> None:
    command.add_argument("--task", choices=["det", "vid", "mot", "sot", "vis"])
    command.add_argument("--method", help="part of the name or of the method")
    command.add_argument("--markdown", action="store_true", help="as the table of docs/zoo.md")


def run_list(options: argparse.Namespace) -> int:
    from ..models import list_models
    from ..zoo import zoo_table

    published: dict[str, Any] = {}
    for entry in zoo_table():
        if entry.name not in published or published[entry.name].checkpoint is None:
            published[entry.name] = entry
    rows = []
    for name in list_models(options.task):
        row: Any = published.get(name)
        if options.method and options.method.lower() not in f"{name} {row.method if row else ''}".lower():
            continue
        metrics = row.metrics.items() if row else ()
        figures = ", ".join(f"{key} {value:g}" for key, value in metrics if value is not None)
        if row and row.source:
            figures += f" ({row.source})"
        rows.append((name, row.method if row else "", figures, "published" if row and row.checkpoint else ""))
    headings = ("name", "method", "published figures", "checkpoint")
    if options.markdown:
        print("\n".join("| " + " | ".join(cells) + " |" for cells in (headings, ("---",) * 4, *rows)))
        return 0
    table = Table(title=f"{len(rows)} models")
    for heading in headings:
        table.add_column(heading, overflow="fold")  # names are for copying
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    return 0
