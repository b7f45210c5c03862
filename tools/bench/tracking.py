"""What tracking a video costs beside its detector: decoding, drawing, encoding and writing, and memory over time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch

from vidperc.image.hog import HogPeopleDetector
from vidperc.io import Video
from vidperc.pipeline import track
from vidperc.structures import Frame, Instances


def measure(video: str = "", frames: int = 60, memory_frames: int = 20_000) -> list[dict[str, float | str]]:
    """The demo's time against its detector's and decoder's alone, then resident memory over a long run.

    Args:
        video: a file to run the HOG detector on; leave out to measure memory alone.
        frames: how many of it.
        memory_frames: length of the long run; 0 leaves it out.
    """
    rows: list[dict[str, float | str]] = []
    if video:
        rows.append(_overhead(video, frames))
    if memory_frames:
        rows.extend(_memory(memory_frames))
    return rows


def _overhead(video: str, frames: int) -> dict[str, float | str]:
    started = time.perf_counter()
    pictures = [frame for frame, _ in zip(Video(video), range(frames), strict=False)]
    decoding = time.perf_counter() - started
    detector = HogPeopleDetector()
    started = time.perf_counter()
    for picture in pictures:
        detector.step(picture)
    detecting = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        result = track(video, folder, detector="hog", max_frames=frames)
    return {
        "what": f"track with hog, {frames} frames",
        "seconds": result.seconds,
        "detector": detecting,
        "decoder": decoding,
        "ratio": result.seconds / (detecting + decoding),
    }


def _memory(frames: int) -> Iterator[dict[str, float | str]]:
    """Resident MB at points of a run over generated frames through the tracker and all writers."""
    process, marks = psutil.Process(), {}
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (120, 160, 3), dtype=np.uint8)
    base = torch.tensor([[10.0, 10, 40, 70], [60, 20, 90, 80], [100, 30, 130, 90]])

    def pictures() -> Iterator[np.ndarray]:
        for _ in range(frames):
            yield picture

    def detect(frame: Frame) -> Instances:
        boxes = base + 8 * np.sin(frame.index / 25)
        return Instances(boxes, labels=torch.zeros(3, dtype=torch.int64), scores=torch.ones(3))

    def watch(done: int, total: int | None) -> None:
        if done in (frames // 20, frames // 4, frames // 2, frames):
            marks[done] = process.memory_info().rss / 2**20

    with tempfile.TemporaryDirectory() as folder:
        result = track(pictures(), Path(folder), detector=detect, progress=watch)
    for done, resident in marks.items():
        yield {"what": f"memory at frame {done}", "resident MB": resident, "frames/s": result.frames / result.seconds}
