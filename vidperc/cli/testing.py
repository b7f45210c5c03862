"""`vidperc test`: a model over a data set, scored."""

from __future__ import annotations

import argparse
from typing import Any

from .options import add_network_options, setting
from .screen import console, progress_bar


def add_test(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", help="a model's name; by default the task's own")
    command.add_argument("--task", choices=["det", "vid", "mot", "sot", "vis"], help="run the task's default model")
    command.add_argument("--data-root", help="folder of the data set; none: the synthetic videos")
    command.add_argument("--sequences", nargs="+", help="only these")
    command.add_argument("--out", default="out/test", help="folder of the results (%(default)s)")
    command.add_argument("--resume", action="store_true", help="leave out sequences whose results are there")
    command.add_argument("--half", choices=["train", "val"], help="tracking: only this half of every sequence")
    command.add_argument("--refine", choices=["linear", "gaussian", "kalman"], help="tracking: refine the results")
    command.add_argument("--format-only", action="store_true", help="write results and the submission, no scores")
    command.add_argument(
        "--format", choices=["coco", "scalabel"], help="of image detectors' result files; by default the data set's"
    )
    command.add_argument(
        "--coco",
        choices=["pycocotools", "faster"],
        default="pycocotools",
        help="what counts scores (%(default)s)",
    )
    command.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="of the model")
    add_network_options(command)


def run_test(options: argparse.Namespace) -> int:
    from ..testing import test

    with progress_bar() as bar:
        tasks: dict[str, Any] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total, speed="")
            elapsed = bar.tasks[tasks[name]].elapsed or 0
            bar.update(tasks[name], completed=done, speed=f"{done / elapsed:.0f}/s" if elapsed else "")

        outcome = test(
            options.name, task=options.task, data_root=options.data_root, sequences=options.sequences,
            out=options.out, resume=options.resume, half=options.half, refinement=options.refine,
            format_only=options.format_only, checkpoint=options.checkpoint, device=options.device,
            precision=options.precision, result_format=options.format, coco=options.coco,
            progress=report, **dict(options.set),
        )  # fmt: skip
    if outcome.table is not None:
        console.print(outcome.table)
    if outcome.written:  # of several processes the first alone reports
        console.print("wrote " + ", ".join(str(path) for path in outcome.written), highlight=False, soft_wrap=True)
    return 0
