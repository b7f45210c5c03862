"""Search for a tracker's settings on given detections.

python tools/tune.py bytetrack_mot17 --gt DATA/MOT17-half-val --search high=0.4:0.8 match=0.7,0.8,0.9 --trials 40
python tools/tune.py ocsort --gt gt.txt --det det.txt --search inertia=0.1,0.2 delta=1,2,3 --grid --metric IDF1
"""

from __future__ import annotations

import argparse
import ast
from typing import Any

from rich.console import Console
from rich.table import Table

from vidperc.tuning import COLUMNS, Range, Trial, draws, grid, tune


def dimension(text: str) -> tuple[str, Range | list[Any]]:
    """`name=low:high`, or `name=value,value,...`."""
    name, equals, values = text.partition("=")
    if not equals or not values:
        raise argparse.ArgumentTypeError(f"expected name=low:high or name=value,value, got '{text}'")
    try:
        if ":" in values:
            low, high = (ast.literal_eval(value) for value in values.split(":"))
            return name, Range(low, high)
        return name, [ast.literal_eval(value) for value in values.split(",")]
    except (ValueError, SyntaxError) as error:
        raise argparse.ArgumentTypeError(f"'{text}': {error}") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracker", help="name of a config that tracks given detections")
    parser.add_argument("--gt", required=True, help="folder of MOTChallenge sequences with detections, or a gt.txt")
    parser.add_argument("--det", help="det.txt of a gt.txt")
    parser.add_argument("--search", nargs="+", type=dimension, required=True, metavar="NAME=LOW:HIGH|V,V,...")
    parser.add_argument("--grid", action="store_true", help="every combination instead of random ones")
    parser.add_argument("--trials", type=int, default=30, help="random ones (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metric", default="HOTA", choices=list(COLUMNS))
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--out", default="out/tune.jsonl", help="trials; those in it are not repeated (%(default)s)")
    options = parser.parse_args()
    space = dict(options.search)
    candidates = list(grid(space) if options.grid else draws(space, options.trials, options.seed))
    console = Console()

    def report(trial: Trial, done: int, total: int) -> None:
        console.print(f"{done}/{total} {options.metric} {trial.scores[options.metric]:.4f} {trial.settings}")

    trials = tune(
        options.tracker, candidates, options.gt, options.det, out=options.out, workers=options.workers, progress=report
    )
    lower_is_better = options.metric in ("IDSW", "FP", "FN")
    trials.sort(key=lambda trial: trial.scores[options.metric], reverse=not lower_is_better)
    table = Table(*space, *COLUMNS)
    for trial in trials[:10]:
        values = [f"{trial.scores[name]:.4g}" for name in COLUMNS]
        table.add_row(*(str(trial.settings[name]) for name in space), *values)
    console.print(table)


if __name__ == "__main__":
    main()
