"""`vidperc track`: a video in, tracks out."""

from __future__ import annotations

import argparse

from .options import add_input, add_network_options, add_picture_options, corner, input_of, setting
from .screen import console, frames_done


def add_track(command: argparse.ArgumentParser) -> None:
    add_input(command)
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
    add_picture_options(command)
    command.add_argument("--checkpoint-every", type=int, metavar="N", help="save every N frames what --resume needs")
    command.add_argument("--resume", action="store_true", help="go on where a killed run in the same folder stopped")
    command.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=VALUE", help="of the tracker")
    command.add_argument("--set-detector", nargs="+", type=setting, default=[], metavar="NAME=VALUE")
    add_network_options(command)


def run_track(options: argparse.Namespace) -> int:
    from ..pipeline import track

    with frames_done("tracking") as report:
        result = track(
            input_of(options), options.out, detector=options.detector, tracker=options.tracker,
            checkpoint=options.checkpoint, device=options.device, precision=options.precision, classes=options.classes,
            per_class=options.per_class, region=options.region, refinement=options.refine, reid=options.reid,
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
