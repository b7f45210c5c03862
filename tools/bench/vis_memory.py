"""Resident memory of SeqFormer over a long video: a synthetic one, repeated.

With `clip_length` results leave while the video runs. Without, the whole video is decoded at once: memory then
grows with it up to `max_memory`, and by little after.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import psutil

import vidperc
from vidperc.data.synthetic import SyntheticVideo
from vidperc.evaluation.vis import FrameMasks
from vidperc.sequence import Precision
from vidperc.structures import Frame, Video
from vidperc.video.seqformer import SeqFormer


class Repeated:
    """A source without an end of its own: 30 synthetic frames, again and again."""

    name, fps, length = "repeated", 30.0, None

    def __init__(self, frames: int, size: tuple[int, int], marks: list[int], rows: list[dict[str, Any]]) -> None:
        video = SyntheticVideo(7, 30, size, "vis")
        self.pictures = [video.read(t).array for t in range(30)]
        self.count, self.size, self.marks, self.rows = frames, size, marks, rows

    def frames(self, start: int = 0) -> Iterator[Frame]:
        process, begun = psutil.Process(), time.perf_counter()
        for t, picture in enumerate(islice(cycle(self.pictures), self.count)):
            if t in self.marks:
                passed = time.perf_counter() - begun
                self.rows.append({"frame": t, "resident MB": process.memory_info().rss / 2**20, "seconds": passed})
            yield Frame.from_array(picture, t)

    def read(self, index: int) -> Frame:
        return Frame.from_array(self.pictures[index % 30], index)


def measure(
    name: str = "tiny_seqformer",
    frames: int = 2000,
    size: tuple[int, int] = (360, 640),
    clip_length: int | None = 5,
    max_memory: float = 4e9,
    precision: Precision = "fp32",
    every: int = 0,
) -> list[dict[str, Any]]:
    """Resident MB at frames of the run, its end included; masks leave as RLE, which are counted and dropped.

    Args:
        every: how many frames apart the marks are; after 100 frames and at quarters of the run by default.
    """
    marks = list(range(every, frames, every)) if every else [10, 100, *(frames * k // 4 for k in (1, 2, 3))]
    rows: list[dict[str, Any]] = []
    source = Repeated(frames, size, marks, rows)
    model = vidperc.load(name, precision=precision, clip_length=clip_length, max_memory=max_memory, max_tracks=None)
    assert isinstance(model, SeqFormer)
    masks, begun, process = 0, time.perf_counter(), psutil.Process()
    for objects in model.stream(Video(source)):
        masks += len(FrameMasks.of(objects).masks)
    passed = time.perf_counter() - begun
    rows.append({"frame": frames, "resident MB": process.memory_info().rss / 2**20, "seconds": passed, "masks": masks})
    return rows
