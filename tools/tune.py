"""Search for a tracker's settings: on given detections, or of a siamese tracker on videos.

python tools/tune.py bytetrack_mot17 --gt DATA/MOT17-half-val --search high=0.4:0.8 match=0.7,0.8,0.9 --trials 40
python tools/tune.py ocsort --gt gt.txt --det det.txt --search inertia=0.1,0.2 delta=1,2,3 --grid --metric IDF1
python tools/tune.py siamese_rpn_r50_20e_otb100 --gt DATA/OTB100 --search penalty=0.1,0.2 window_influence=0.3,0.4,0.5

Of a siamese tracker the network is run once, its outputs are replayed for every combination of penalty, window
influence and size rate (by default five values each), and the best few are run in full. Without --gt it takes
synthetic videos.
"""

from __future__ import annotations

import argparse
import ast
import time
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from vidperc.models import get_config
from vidperc.sot_tuning import SETTINGS, tune_siamese
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
    parser.add_argument("tracker", help="name of a config that tracks given detections, or of a siamese tracker")
    parser.add_argument(
        "--gt", help="folder of MOTChallenge sequences with detections, or a gt.txt; of a single-object benchmark"
    )
    parser.add_argument("--det", help="det.txt of a gt.txt")
    parser.add_argument("--search", nargs="+", type=dimension, default=[], metavar="NAME=LOW:HIGH|V,V,...")
    parser.add_argument("--grid", action="store_true", help="every combination instead of random ones")
    parser.add_argument("--trials", type=int, default=30, help="random ones (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metric", default="HOTA", choices=list(COLUMNS))
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--out", default="out/tune.jsonl", help="trials; those in it are not repeated (%(default)s)")
    siamese = parser.add_argument_group("siamese trackers")
    siamese.add_argument("--sequences", nargs="+", help="only these videos")
    siamese.add_argument("--confirm", type=int, default=5, help="settings to run in full (%(default)s)")
    siamese.add_argument("--checkpoint", help="file, URL, or 'published'")
    siamese.add_argument("--device", default="cpu")
    options = parser.parse_args()
    try:
        if get_config(options.tracker).task == "sot":
            tune_single(options)
        elif options.gt is None or not options.search:
            parser.error("--gt and --search are needed to tune a tracker of given detections")
        else:
            tune_multi(options)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        parser.exit(1, f"tune: error: {error.args[0] if isinstance(error, KeyError) else error}\n")


def tune_single(options: argparse.Namespace) -> None:
    """A siamese tracker."""
    values = {name: given for name, given in options.search if not isinstance(given, Range)}
    if len(values) < len(options.search):
        raise ValueError("the settings of a siamese tracker are searched on a grid: give values, not a range")
    console = Console()
    began = time.perf_counter()
    trials = tune_siamese(
        options.tracker, options.gt, values, sequences=options.sequences, confirm=options.confirm,
        checkpoint=options.checkpoint, device=options.device,
        progress=lambda done, total: console.print(f"replayed on {done} of {total} videos"),
    )  # fmt: skip
    table = Table(*SETTINGS, "success, replayed", "success, run")
    for trial in trials[:10]:
        measured = "" if trial.measured is None else f"{trial.measured:.4f}"
        table.add_row(*(f"{getattr(trial.setting, name):g}" for name in SETTINGS), f"{trial.replayed:.4f}", measured)
    console.print(table)
    runs = 1 + sum(trial.measured is not None for trial in trials)
    console.print(f"{len(trials)} settings for {runs} runs of the network, {time.perf_counter() - began:.0f} s")


def tune_multi(options: argparse.Namespace) -> None:
    """A tracker of given detections."""
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
    table = Table(*space, *COLUMNS, box=box.SIMPLE, pad_edge=False)
    for trial in trials[:10]:
        values = [f"{trial.scores[name]:.4g}" for name in COLUMNS]
        table.add_row(*(str(trial.settings[name]) for name in space), *values)
    console.print(table)


if __name__ == "__main__":
    main()
