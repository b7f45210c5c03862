"""Follow an object of a video: `python demo/track_object.py input.mp4 --box X Y W H [--out out.mp4]`.

The box is that of the object in the first frame; `--select` draws it with the mouse instead. Written are
the video with the box on it and a text file with a line `frame,x,y,w,h,score,state` per frame, frames from 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch

import vidperc
from vidperc.io.writers import VideoWriter
from vidperc.sequence import AUTOCAST
from vidperc.structures import Frame, Instances, TrackState
from vidperc.video.siamrpn import SiamRPN
from vidperc.video.stark import STARK
from vidperc.visualize import check_display, draw


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="video file, folder of images or camera number")
    parser.add_argument(
        "--box", type=float, nargs=4, action="append", metavar=("X", "Y", "W", "H"), help="again for more objects"
    )
    parser.add_argument("--select", action="store_true", help="draw the box on the first frame with the mouse")
    parser.add_argument("--model", default="tiny_siamese_rpn", help="see vidperc.list_models('sot')")
    parser.add_argument("--checkpoint", help="file; by default the one that ships with the model, if any")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=list(AUTOCAST))
    parser.add_argument("--out", type=Path, help="video to write, default INPUT_tracked.mp4")
    parser.add_argument("--results", type=Path, help="text file to write, default beside the video")
    parser.add_argument("--redetect", action="store_true", help="SiamRPN++: search the whole frame for what is lost")
    options = parser.parse_args(arguments)
    if bool(options.box) == options.select:
        parser.error("give the object's --box X Y W H, or --select it")
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    source = int(options.input) if options.input.isdigit() else options.input
    video = vidperc.Video(source, same_size=False)
    out = options.out or Path(f"{Path(options.input).stem or 'camera'}_tracked.mp4")
    results = options.results or out.with_suffix(".txt")
    model = vidperc.load(options.model, options.checkpoint, options.device, options.precision)
    if not isinstance(model, SiamRPN | STARK):
        raise ValueError(f"{options.model} does not follow single objects")
    if options.redetect and not isinstance(model, SiamRPN):
        raise ValueError(f"{options.model} looks about an object's last box alone: only SiamRPN++ can --redetect")
    prompt = None if options.select else corners(options.box)
    followed = follow(model, video, options.input, prompt, options.redetect)
    first = next(followed, None)  # before there is a file: a box that does not fit leaves none
    if first is None:
        raise ValueError(f"{options.input}: there are no frames")
    count = 0
    with VideoWriter(out, video.fps) as writer, results.open("w", encoding="ascii") as lines:
        for frame, objects in chain([first], followed):
            writer.write(draw(frame, objects, labels=False, caption=caption(objects)), frame.time)
            lines.writelines(line(frame.index, objects))
            count += 1
    print(f"{count} frames: {out}, {results}")
    return 0


def follow(
    model: SiamRPN | STARK, video: vidperc.Video, name: str, prompt: torch.Tensor | None, redetect: bool
) -> Iterator[tuple[Frame, Instances]]:
    """Each frame with its objects; without a prompt (N, 4) one is drawn on the first frame. Errors have the `name`."""
    session = None
    for frame in video:
        if session is None:
            given = corners([select(frame)]) if prompt is None else prompt
            session = vidperc.open_session(model, given, name)
        objects = session.update(frame)
        assert objects is not None and objects.states is not None
        if redetect and isinstance(model, SiamRPN) and bool((objects.states == int(TrackState.LOST)).any()):
            objects = model.redetect(frame, session.state)
        yield frame, objects


def corners(boxes: list[list[float]]) -> torch.Tensor:
    """x y w h (N of them) to xyxy (N, 4)."""
    given = torch.tensor(boxes, dtype=torch.float32)
    return torch.cat([given[:, :2], given[:, :2] + given[:, 2:]], 1)


def select(frame: Frame) -> list[float]:
    """The box x y w h that the user draws."""
    check_display()
    picture = np.ascontiguousarray(frame.array[:, :, ::-1])
    box = cv2.selectROI("the object, then Enter", picture, showCrosshair=False)
    cv2.destroyAllWindows()
    if box[2] < 1 or box[3] < 1:
        raise ValueError("nothing was selected")
    return [float(value) for value in box]


def caption(objects: Instances) -> str:
    assert objects.states is not None
    lost = int((objects.states == int(TrackState.LOST)).sum())
    return f"lost: {lost} of {len(objects)}" if lost else ""


def line(index: int, objects: Instances) -> list[str]:
    """The result lines of one frame."""
    assert objects.scores is not None and objects.states is not None
    return [
        f"{index + 1},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f},{TrackState(state).name.lower()}\n"
        for (x1, y1, x2, y2), score, state in zip(
            objects.boxes.tolist(), objects.scores.tolist(), objects.states.tolist()
        )
    ]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        sys.exit(f"track_object: error: {error.args[0] if isinstance(error, KeyError) else error}")
