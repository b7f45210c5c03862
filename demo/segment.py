"""Segment and follow the objects of a video: `python demo/segment.py [input.mp4] [--model ...] [--clip-length 5]`.

Writes the annotated video and a JSON with the masks of each frame as RLE, both while the video runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import vidperc
from vidperc.data.synthetic import SyntheticVideo
from vidperc.io import ImageWriter, Video, VideoWriter
from vidperc.sequence import AUTOCAST
from vidperc.structures import Instances
from vidperc.structures.masks import encode_masks
from vidperc.video.seqformer_masks import best_class
from vidperc.visualize import draw


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "input", nargs="?", help="file, folder of images, camera's number or stream; default: synthetic"
    )
    parser.add_argument("--model", default="tiny_seqformer", help="a config's name")
    parser.add_argument("--checkpoint", help="weights; default: those that ship with the model")
    parser.add_argument("--output", default="segmented.mp4", help="video, or a folder for pictures")
    parser.add_argument("--json", help="masks; default: beside the output")
    parser.add_argument(
        "--clip-length", type=int, default=5, help="frames of a clip; 0 decodes the whole video at once"
    )
    parser.add_argument("--clip-stride", type=int, default=1)
    parser.add_argument("--min-score", type=float, default=0.3)
    parser.add_argument(
        "--test-scale", type=int, nargs=2, metavar=("LONG", "SHORT"), help="size of the network's input"
    )
    parser.add_argument("--max-frames", type=int, help="stop after so many")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=list(AUTOCAST))
    return parser.parse_args(arguments)


def open_video(options: argparse.Namespace) -> Video:
    """The input; a synthetic video where there is none."""
    if options.input is None:
        return Video(SyntheticVideo(2_000_000, options.max_frames or 60, (160, 256), "vis"))
    source = int(options.input) if options.input.isdigit() else options.input
    video = Video(source, same_size=False)
    if options.max_frames and not video.is_live:
        return video[: options.max_frames]  # type: ignore[return-value]
    return video


class MaskFile:
    """A JSON list with one entry per frame, valid once closed."""

    def __init__(self, file: TextIO, classes: Sequence[str]) -> None:
        self.file, self.classes, self.frames = file, classes, 0

    def write(self, index: int, objects: Instances) -> None:
        assert objects.masks is not None and objects.ids is not None
        assert objects.labels is not None and objects.scores is not None
        rows = zip(
            objects.ids.tolist(), objects.labels.tolist(), objects.scores.tolist(), objects.boxes.tolist(),
            encode_masks(objects.masks),
        )  # fmt: skip
        entry = {
            "frame": index,
            "objects": [
                {"id": number, "class": self._name(label), "score": round(score, 4),
                 "box": [round(side, 2) for side in box], "mask": mask}
                for number, label, score, box, mask in rows
            ],
        }  # fmt: skip
        self.file.write(("[\n" if not self.frames else ",\n") + json.dumps(entry))
        self.frames += 1

    def _name(self, label: int) -> str | int:
        return self.classes[label] if label < len(self.classes) else label

    def close(self) -> None:
        self.file.write("\n]\n" if self.frames else "[]\n")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    overrides = {"rows": best_class, "score_threshold": options.min_score, "clip_stride": options.clip_stride}
    overrides["clip_length"] = options.clip_length or None
    overrides["max_tracks"] = None  # of a camera's video there is no end
    if options.test_scale:
        overrides["test_scale"] = tuple(options.test_scale)
    classes = vidperc.get_config(options.model).classes
    model = vidperc.load(options.model, options.checkpoint, options.device, options.precision, **overrides)
    video = open_video(options)
    output = Path(options.output)
    masks = Path(options.json) if options.json else output.with_suffix(".json")
    with ExitStack() as stack:
        writer = stack.enter_context(VideoWriter(output, fps=video.fps) if output.suffix else ImageWriter(output))
        file = MaskFile(stack.enter_context(masks.open("w", encoding="utf-8")), classes)
        stack.callback(file.close)
        for count, (frame, objects) in enumerate(model.stream_frames(video), 1):
            writer.write(draw(frame, objects, classes=classes), time=frame.time)
            file.write(frame.index, objects)
            print(f"\rframe {count}: {len(objects)} objects", end="", file=sys.stderr, flush=True)
    print(f"\n{output}, {masks}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
