"""Draw what is wrong with tracks: false positives, misses and identity switches against ground truth, as a video.

python tools/mot_error_view.py gt.txt tracks.txt --video input.mp4 --out errors.mp4

Red is a track on nothing, yellow an object without a track, magenta an object that another track follows from this
frame on (shown for a while); thin green is right. Without --video, on black.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from vidperc.evaluation import read_tracks
from vidperc.evaluation.errors import FrameErrors, Switch, find_errors
from vidperc.evaluation.rules import rules_for, rules_named
from vidperc.io import Video, VideoWriter
from vidperc.visualize import draw_tag

RIGHT, FALSE, MISSED, SWITCHED = (60, 160, 80), (230, 40, 40), (240, 210, 40), (230, 40, 230)
SHOWN = 12  # frames that a switch stays to be seen


def draw_errors(picture: np.ndarray, errors: FrameErrors, switches: list[Switch], caption: str) -> np.ndarray:
    """A copy of the (H, W, 3) picture with the frame's errors, and the switches of the last frames, drawn on it."""
    canvas = np.array(picture, order="C")
    for mark in errors.matched:
        _box(canvas, mark.box, RIGHT, 1, str(mark.id))
    for mark in errors.misses:
        _box(canvas, mark.box, MISSED, 2, f"missed {mark.id}")
    for mark in errors.false_positives:
        _box(canvas, mark.box, FALSE, 2, f"false {mark.id}", below=True)
    for switch in switches:
        _box(canvas, switch.object.box, SWITCHED, 3, f"{switch.before} > {switch.now}")
    cv2.putText(canvas, caption, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, caption, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas


def _box(
    canvas: np.ndarray, box: tuple[float, ...], color: tuple[int, int, int], width: int, text: str, below: bool = False
) -> None:
    """The box with its text above, or below, where a false track does not hide the name of the object it missed."""
    x1, y1, x2, y2 = (round(value) for value in box)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), color, width)
    draw_tag(canvas, text, x1, y2 + 14 if below else y1, color, 0.7)


def pictures(video: Video | None, frames: list[FrameErrors]) -> Iterator[np.ndarray]:
    """The pictures of the video, or black ones that hold all boxes."""
    if video is not None:
        yield from (frame.array for frame in video)
        return
    marks = [mark.box for frame in frames for mark in (*frame.matched, *frame.misses, *frame.false_positives)]
    size = np.clip(np.array([[x2, y2] for _, _, x2, y2 in marks] or [[64, 64]]).max(0), 64, 4096).astype(int)
    for _ in frames:
        yield np.zeros((size[1], size[0], 3), np.uint8)


def write_video(out: Path, video: Video | None, frames: list[FrameErrors], only_errors: bool, fps: float) -> int:
    """Write the frames, all or those with errors; how many."""
    totals = np.zeros(3, int)
    recent: deque[tuple[int, Switch]] = deque()
    with VideoWriter(out, fps if video is None or only_errors else video.fps) as writer:
        for index, (picture, errors) in enumerate(zip(pictures(video, frames), frames)):
            recent.extend((index, switch) for switch in errors.switches)
            while recent and recent[0][0] <= index - SHOWN:
                recent.popleft()
            totals += [len(errors.false_positives), len(errors.misses), len(errors.switches)]
            if only_errors and not errors.any:
                continue
            caption = "frame {}   FP {} FN {} IDSW {}".format(index + 1, *totals)
            writer.write(draw_errors(picture, errors, [switch for _, switch in recent], caption))
        return writer.frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ground_truth", type=Path, help="a sequence's gt.txt, or any file of tracks")
    parser.add_argument("tracks", type=Path)
    parser.add_argument("--video", help="anything that vidperc.Video takes")
    parser.add_argument("--benchmark", help="whose rules; by default the ground truth's layout tells")
    parser.add_argument("--threshold", type=float, default=0.5, help="least IoU of a match (%(default)s)")
    parser.add_argument("--only-errors", action="store_true", help="leave out frames without any")
    parser.add_argument("--fps", type=float, default=10.0, help="without --video or with --only-errors (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("errors.mp4"))
    options = parser.parse_args()
    truth = next(iter(read_tracks(options.ground_truth, truth=True).values()))
    tracks = next(iter(read_tracks(options.tracks, truth=False).values()))
    rules = rules_for(truth) if options.benchmark is None else rules_named(options.benchmark)
    video = None if options.video is None else Video(options.video)
    console = Console()
    for name, sequence in rules(truth, tracks).items():
        frames = find_errors(sequence, options.threshold)
        out = options.out.with_name(f"{options.out.stem}_{name}{options.out.suffix}")
        count = write_video(out, video, frames, options.only_errors, options.fps)
        table = Table("frame", "object", "track before", "track now", "last match", title=f"{name}: identity switches")
        for index, errors in enumerate(frames):
            for switch in errors.switches:
                row = (index + 1, switch.object.id, switch.before, switch.now, switch.since + 1)
                table.add_row(*map(str, row))
        console.print(table)
        console.print(f"wrote {out}, {count} frames", highlight=False)


if __name__ == "__main__":
    main()
