"""The console command `vidperc`; the scripts in tools/ and demo/ call the same functions."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

console = Console()
Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 bad input, 130 interrupted."""
    parser = build_parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes positional settings only before the first option: those after it are added here.
    if any("=" not in word or word.startswith("-") for word in rest) or (rest and not hasattr(options, "set")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.set = [*options.set, *(setting(word) for word in rest)]
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        console.print("[yellow]interrupted[/]")
        return 130
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        if options.traceback:
            raise
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"vidperc: error: {text}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="vidperc", description="Detection, tracking and segmentation in video.")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (add, run, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        add(command)
        command.set_defaults(run=run)
    return parser


def setting(text: str) -> tuple[str, Any]:
    """`name=value` with a Python literal as the value, or a word."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected name=value, got '{text}'")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def corner(text: str) -> tuple[float, float]:
    """`x,y` in pixels."""
    try:
        x, y = (float(number) for number in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected x,y, got '{text}'") from error
    return x, y


def progress_bar(unit: str = "frames") -> Progress:
    """A progress line with speed and remaining time; silent where the output is no terminal."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=False)


def add_network_options(command: argparse.ArgumentParser) -> None:
    """Where and how a network runs."""
    command.add_argument("--checkpoint", help="file, URL, or 'published'")
    command.add_argument("--device", default="cpu")
    command.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])


# track


def add_track(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "input", nargs="?", help="video file, folder, glob, camera number or URL; none: a synthetic clip"
    )
    command.add_argument("--out", default="out", help="folder of the results (%(default)s)")
    command.add_argument("--detector", help="auto, hog, motion, given, a model's name, or a det.txt / json file")
    command.add_argument("--tracker", default="sort", help="name of a tracker (%(default)s)")
    command.add_argument("--reid", help="appearance network: auto, tiny_reid, reid_imagenet_resnet18 ...")
    command.add_argument("--reid-checkpoint", help="its weights")
    command.add_argument("--classes", nargs="+", help="track only these classes")
    command.add_argument("--per-class", action="store_true", help="never take objects of two classes for one")
    command.add_argument(
        "--region", nargs="+", type=corner, metavar="X,Y", help="corners of a polygon: track only what is inside"
    )
    command.add_argument("--refine", choices=["linear", "gaussian", "kalman"], help="fill gaps, smooth, at the end")
    command.add_argument("--gt", help="MOTChallenge rows to score the tracks with")
    command.add_argument("--gt-scale", type=float, default=1.0, help="factor of their boxes")
    command.add_argument("--max-frames", type=int)
    command.add_argument("--no-video", action="store_true", help="write no annotated video")
    command.add_argument("--save-frames", action="store_true", help="write annotated pictures too")
    command.add_argument("--show", action="store_true", help="show them in a window; q stops")
    command.add_argument("--checkpoint-every", type=int, metavar="N", help="save every N frames what --resume needs")
    command.add_argument("--resume", action="store_true", help="go on where a killed run in the same folder stopped")
    command.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="of the tracker")
    command.add_argument("--set-detector", nargs="+", type=setting, default=[], metavar="NAME=VALUE")
    add_network_options(command)


def run_track(options: argparse.Namespace) -> int:
    from .pipeline import track

    source = int(options.input) if options.input and options.input.isdigit() else options.input
    with progress_bar() as bar:
        task = bar.add_task("tracking", total=None, speed="")

        def report(done: int, total: int | None) -> None:
            elapsed = bar.tasks[0].elapsed or 0
            bar.update(task, completed=done, total=total, speed=f"{done / elapsed:.1f}/s" if elapsed else "")

        result = track(
            source, options.out, detector=options.detector, tracker=options.tracker, checkpoint=options.checkpoint,
            device=options.device, precision=options.precision, classes=options.classes, per_class=options.per_class,
            region=options.region, refinement=options.refine, reid=options.reid,
            reid_checkpoint=options.reid_checkpoint, ground_truth=options.gt,
            ground_truth_scale=options.gt_scale, detector_options=dict(options.set_detector),
            tracker_options=dict(options.set), max_frames=options.max_frames, annotate=not options.no_video,
            save_frames=options.save_frames, show=options.show, checkpoint_every=options.checkpoint_every,
            resume=options.resume, progress=report,
        )  # fmt: skip
    console.print(result.detector, highlight=False)
    console.print(
        f"{result.frames} frames, {len(result.ids)} tracks in {result.seconds:.1f} s "
        f"({(result.frames - result.resumed) / max(result.seconds, 1e-9):.1f} frames/s; "
        f"decoding, detector and tracker {result.model_seconds:.1f} s)",
        highlight=False,
    )
    if result.scores is not None:
        console.print(result.scores.table())
    written = [result.text, result.json] + ([] if options.no_video else [result.video])
    console.print("wrote " + ", ".join(str(path) for path in written if path.exists()), highlight=False, soft_wrap=True)
    return 130 if result.interrupted else 0


# detect


def add_detect(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "input", nargs="?", help="video file, folder, glob, camera number or URL; none: a synthetic clip"
    )
    command.add_argument("--model", default="auto", help="auto, hog, or the name of a detector of images or video")
    command.add_argument("--out", default="out", help="folder of the results (%(default)s)")
    command.add_argument("--classes", nargs="+", help="only these classes")
    command.add_argument("--min-score", type=float, default=0.3, help="of what is written (%(default)s)")
    command.add_argument("--max-frames", type=int)
    command.add_argument("--no-video", action="store_true", help="write no annotated video")
    command.add_argument("--save-frames", action="store_true", help="write annotated pictures too")
    command.add_argument("--show", action="store_true", help="show them in a window; q stops")
    command.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="of the model")
    add_network_options(command)


def run_detect(options: argparse.Namespace) -> int:
    from .pipeline import detect

    source = int(options.input) if options.input and options.input.isdigit() else options.input
    with progress_bar() as bar:
        task = bar.add_task("detecting", total=None, speed="")

        def report(done: int, total: int | None) -> None:
            elapsed = bar.tasks[0].elapsed or 0
            bar.update(task, completed=done, total=total, speed=f"{done / elapsed:.1f}/s" if elapsed else "")

        result = detect(
            source, options.out, model=options.model, checkpoint=options.checkpoint, device=options.device,
            precision=options.precision, classes=options.classes, min_score=options.min_score,
            options=dict(options.set), max_frames=options.max_frames, annotate=not options.no_video,
            save_frames=options.save_frames, show=options.show, progress=report,
        )  # fmt: skip
    console.print(result.detector, highlight=False)
    console.print(
        f"{result.frames} frames, {result.objects} objects in {result.seconds:.1f} s "
        f"(decoding and detector {result.model_seconds:.1f} s)",
        highlight=False,
    )
    written = [path for path in (result.json, result.video) if path.exists()]
    console.print("wrote " + ", ".join(map(str, written)), highlight=False, soft_wrap=True)
    return 130 if result.interrupted else 0


# test


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
    from .testing import test

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


# train


def add_train(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", help="a config's name; by default the task's tiny model")
    command.add_argument("set", nargs="*", type=setting, metavar="key=value", help="arguments to change")
    command.add_argument("--task", choices=["det", "vid", "mot", "sot", "vis", "reid"])
    command.add_argument("--out", help="folder of the run (out/train/NAME)")
    command.add_argument("--checkpoint", help="weights to begin with")
    command.add_argument("--resume", action="store_true", help="go on from last.pt in the folder of the run")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--workers", type=int, default=2, help="processes that read data (%(default)s)")
    command.add_argument("--accelerator", default="auto", help="cpu, cuda ... (%(default)s)")
    command.add_argument("--devices", default="1", help="how many; torchrun's environment goes first")
    command.add_argument("--strategy", default="auto", help="Fabric's, as ddp_find_unused_parameters_true")
    command.add_argument("--log-every", type=int, default=10, help="steps between logged rows")
    command.add_argument("--save-every", type=float, default=300, help="seconds between checkpoints")


def run_train(options: argparse.Namespace) -> int:
    from .engine.train import RunOptions
    from .training import train

    if options.name is not None and "=" in options.name:  # only settings, the name is the task's
        options.set.insert(0, setting(options.name))
        options.name = None
    run = RunOptions(
        seed=options.seed, workers=options.workers, accelerator=options.accelerator, resume=options.resume,
        devices=int(options.devices) if options.devices.isdigit() else options.devices,
        log_every=options.log_every, save_every=options.save_every, strategy=options.strategy,
    )  # fmt: skip
    result = train(
        options.name, task=options.task, out=options.out, options=run, checkpoint=options.checkpoint,
        **dict(options.set),
    )  # fmt: skip
    scores = "  ".join(f"{name} {value:.4f}" for name, value in list(result.scores.items())[:4])
    console.print(f"{result.iteration} of {result.total} steps  {scores}", highlight=False)
    console.print(f"waiting for data: {100 * result.data_share:.1f} % of the time", highlight=False)
    return 128 + result.stopped if result.stopped else 0


# evaluate


def add_evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("ground_truth", help="file or folder")
    command.add_argument("predictions", help="file or folder")
    command.add_argument("--task", default="mot")
    command.add_argument("--benchmark", help="whose rules; by default the ground truth's layout tells")
    command.add_argument("--json", help="write all scores there")


def run_evaluate(options: argparse.Namespace) -> int:
    from .evaluation import evaluate

    extra = {"benchmark": options.benchmark} if options.benchmark else {}
    scores = evaluate(options.ground_truth, options.predictions, task=options.task, **extra)
    console.print(scores.table())
    if options.json:
        scores.to_json(options.json)
    return 0


# refine


def add_refine(command: argparse.ArgumentParser) -> None:
    command.add_argument("tracks", help="MOTChallenge rows, or a folder of such files")
    command.add_argument("--method", default="linear", choices=["linear", "gaussian", "kalman"], help="(%(default)s)")
    command.add_argument("--out", required=True, help="file or folder of the refined tracks")
    command.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="as max_gap=20")


def run_refine(options: argparse.Namespace) -> int:
    from .refine_files import refine_results

    for path, (before, after) in refine_results(
        options.tracks, options.out, options.method, **dict(options.set)
    ).items():
        console.print(f"wrote {path}: {before} rows, now {after}", highlight=False, soft_wrap=True)
    return 0


# explain


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
    from .explain import explain_sequences, in_words, write_json

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


# list


def add_list(command: argparse.ArgumentParser) -> None:
    command.add_argument("--task", choices=["det", "vid", "mot", "sot", "vis"])
    command.add_argument("--method", help="part of the name or of the method")
    command.add_argument("--markdown", action="store_true", help="as the table of docs/zoo.md")


def run_list(options: argparse.Namespace) -> int:
    from .models import list_models
    from .zoo import zoo_table

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


COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], Command, str]] = {
    "track": (add_track, run_track, "Track the objects of a video."),
    "detect": (add_detect, run_detect, "Detect the objects of a video."),
    "test": (add_test, run_test, "Run a model over a data set and score it."),
    "train": (add_train, run_train, "Train a model."),
    "evaluate": (add_evaluate, run_evaluate, "Score result files against ground truth."),
    "refine": (add_refine, run_refine, "Fill the gaps of tracks and smooth them, after the fact."),
    "explain": (add_explain, run_explain, "Say why tracks switch identities, by the tracker's own numbers."),
    "list": (add_list, run_list, "The models that can be loaded by name."),
}

if __name__ == "__main__":
    sys.exit(main())
