"""Measure speed: `python tools/benchmark.py trackers [--threads 1] [name=value ...]`.

Every module in tools/bench/ is a benchmark; its `measure` takes the settings and gives rows of figures.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

MODULES = (Path(__file__).parent / "bench").glob("*.py")
BENCHMARKS = sorted(path.stem for path in MODULES if "def measure(" in path.read_text(encoding="utf-8"))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("settings", nargs="*", help="name=value, arguments of the benchmark")
    parser.add_argument("--threads", type=int, default=None, help="of torch, OpenCV and BLAS; all cores by default")
    parser.add_argument("--json", help="write the rows there")
    return parser.parse_intermixed_args()


def literal(text: str) -> Any:
    """A Python value, or the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main() -> int:
    options = parse()
    if options.threads:
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[variable] = str(options.threads)
    import cv2
    import torch
    from rich.console import Console
    from rich.table import Table

    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)
    measure = importlib.import_module(f"bench.{options.name}").measure
    settings = {name: literal(value) for name, _, value in (text.partition("=") for text in options.settings)}
    unknown = set(settings) - set(inspect.signature(measure).parameters)
    if unknown:
        known = ", ".join(inspect.signature(measure).parameters)
        print(f"{options.name} has no setting {', '.join(unknown)}; it has {known}", file=sys.stderr)
        return 1
    rows = measure(**settings)
    rows = rows if isinstance(rows, list) else [rows]
    table = Table(title=f"{options.name}, {platform.processor() or platform.machine()}, torch {torch.__version__}")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{v:,.4g}" if isinstance(v := row.get(column, ""), float) else str(v) for column in columns))
    Console(width=160 if not sys.stdout.isatty() else None).print(table)
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
