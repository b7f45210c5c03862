"""`vidperc evaluate`, `refine` and `explain`: what is done with the results of trackers."""

from __future__ import annotations

import argparse

from .options import add_network_options, setting
from .screen import console


def add_evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("ground_truth", help="file or folder")
    command.add_argument("predictions", help="file or folder")
    command.add_argument("--task", default="mot")
    command.add_argument("--benchmark", help="whose rules; by default the ground truth's layout tells")
    command.add_argument("--json", help="write all scores there")


def run_evaluate(options: argparse.Namespace) -> int:
    from ..evaluation import evaluate

    extra = {"benchmark": options.benchmark} if options.benchmark else {}
    scores = evaluate(options.ground_truth, options.predictions, task=options.task, **extra)
    console.print(scores.table())
    if options.json:
        scores.to_json(options.json)
    return 0


def add_refine(command: argparse.ArgumentParser) -> None:
    command.add_argument("tracks", help="MOTChallenge rows, or a folder of such files")
    command.add_argument("--method", default="linear", choices=["linear", "gaussian", "kalman"], help="(%(default)s)")
    command.add_argument("--out", required=True, help="file or folder of the refined tracks")
    command.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="as max_gap=20")


def run_refine(options: argparse.Namespace) -> int:
    from ..refine_files import refine_results

    for path, (before, after) in refine_results(
        options.tracks, options.out, options.method, **dict(options.set)
    ).items():
        console.print(f"wrote {path}: {before} rows, now {after}", highlight=False, soft_wrap=True)
    return 0


def add_explain(command: argparse.ArgumentParser) -> None:
    command.add_argument("tracker", help="name of a config that tracks given detections, or of any tracking model")
    command.add_argument("--gt", help="folder of MOTChallenge sequences, or a gt.txt")
    command.add_argument("--det", help="det.txt of a gt.txt, or alone with --ids")
    command.add_argument("--sequences", nargs="+", help="only these")
    command.add_argument("--tracks", help="results to explain: the run must reproduce them")
    command.add_argument("--frame", type=int, help="only switches in this frame, from 1")
    command.add_argument("--object", type=int, help="only switches of this object of the ground truth")
    command.add_argument("--ids", type=int, nargs=2, metavar=("BEFORE", "NOW"), help="tracks, without ground truth")
    command.add_argument("--benchmark", help="whose rules count switches; by default the ground truth's layout tells")
    command.add_argument("--json", help="write everything there too")
    command.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="of the tracker")
    add_network_options(command)


def run_explain(options: argparse.Namespace) -> int:
    from ..explain import explain_sequences, in_words, write_json

    found = explain_sequences(
        options.tracker, options.gt, options.det, sequences=options.sequences, tracks=options.tracks,
        frame=None if options.frame is None else options.frame - 1, object=options.object,
        ids=None if options.ids is None else tuple(options.ids), benchmark=options.benchmark,
        checkpoint=options.checkpoint, device=options.device, precision=options.precision, **dict(options.set),
    )  # fmt: skip
    for item in found:
        console.print(in_words(item), highlight=False, soft_wrap=True, markup=False)
    console.print(f"{len(found)} identity switches", highlight=False)
    if options.json:
        write_json(options.json, found)
        console.print(f"wrote {options.json}", highlight=False, soft_wrap=True)
    return 0
