"""A run over a video: its predictions into sinks, its time taken, its pictures drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..io import ImageWriter, Video, VideoWriter
from ..structures import Frame, Instances
from ..visualize import Trails, Window, draw

Progress = Callable[[int, "int | None"], None]  # frames done, frames in all
Sink = Callable[[Frame, Instances], None]


@dataclass
class RunResult:
    """What a run made, and how long it took."""

    out: Path
    detector: str  # one line: which and why
    frames: int = 0
    seconds: float = 0.0
    model_seconds: float = 0.0  # of these, in decoding and the model
    interrupted: bool = False


def run(
    predictions: Iterable[tuple[Frame, Instances]],
    video: Video,
    sinks: list[Sink],
    result: RunResult,
    max_frames: int | None,
    progress: Progress | None,
) -> None:
    """Give every frame's prediction to all sinks, until `max_frames` are done; counted and timed in the result."""
    if max_frames is not None and result.frames >= max_frames:  # before the kill
        return
    started = time.perf_counter()
    for frame, found in _timed(iter(predictions), result):
        for sink in sinks:
            sink(frame, found)
        result.frames += 1
        result.seconds = time.perf_counter() - started
        if progress is not None:
            progress(result.frames, video.length)
        if result.frames == max_frames:
            break


def _timed(frames: Iterator[tuple[Frame, Instances]], result: RunResult) -> Iterator[tuple[Frame, Instances]]:
    """The same, with the time spent in getting them added to the result: decoding waits, detector, tracker."""
    while True:
        started = time.perf_counter()
        item = next(frames, None)
        result.model_seconds += time.perf_counter() - started
        if item is None:
            return
        yield item


def open_pictures(
    stack: ExitStack,
    video: Video,
    path: Path,
    classes: tuple[str, ...],
    annotate: bool,
    save_frames: bool,
    show: bool,
    trails: Trails | None = None,
) -> list[Sink]:
    """What draws frames into a video at `path`, pictures and a window, opened on the stack; nothing if none asked."""
    writers: list[VideoWriter | ImageWriter] = []
    if annotate:
        writers.append(stack.enter_context(VideoWriter(path, video.fps)))
    if save_frames:
        writers.append(stack.enter_context(ImageWriter(path.parent / "frames")))
    window = stack.enter_context(Window(video.name)) if show else None

    def pictures(frame: Frame, objects: Instances) -> None:
        picture = draw(frame, objects, classes=classes, trails=trails)
        for writer in writers:
            writer.write(picture, frame.time)
        if window is not None and not window.show(picture):
            raise KeyboardInterrupt

    return [pictures] if writers or window else []
