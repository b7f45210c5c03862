"""`vidperc detect`: a video in, detections out."""

from __future__ import annotations

import argparse

from .options import add_input, add_network_options, add_picture_options, input_of, setting
from .screen import console, frames_done


def add_detect(command: argparse.ArgumentParser) -> None:
    add_input(command)
    command.add_argument("--model", default="auto", help="auto, hog, or the name of a detector of images or video")
    command.add_argument("--out", default="out", help="folder of the results (%(default)s)")
    command.add_argument("--classes", nargs="+", help="only these classes")
    command.add_argument("--min-score", type=float, default=0.3, help="of what is written (%(default)s)")
    add_picture_options(command)
    command.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="of the model")
    add_network_options(command)


def run_detect(options: argparse.Namespace) -> int:
    from ..pipeline import detect

    with frames_done("detecting") as report:
        result = detect(
            input_of(options), options.out, model=options.model, checkpoint=options.checkpoint, device=options.device,
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
