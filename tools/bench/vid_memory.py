"""Resident memory of the small video detectors over a long video: a synthetic one of small pictures, repeated."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import fiddle as fdl
import psutil

from vidperc.data.synthetic import SyntheticVideo
from vidperc.models import get_config, prepare
from vidperc.sequence import SequenceModel
from vidperc.structures import Frame, Video
from vidperc.video.selsa import SELSAWindow


class Repeated:
    """Thirty synthetic frames, again and again, with random access for models that read ahead."""

    name, fps = "repeated", 30.0

    def __init__(self, length: int, size: tuple[int, int]) -> None:
        video = SyntheticVideo(7, 30, size, "vid")
        self.pictures = [video.read(t).array for t in range(30)]
        self.length, self.size = length, size

    def frames(self, start: int = 0) -> Iterator[Frame]:
        return (self.read(index) for index in range(start, self.length))

    def read(self, index: int) -> Frame:
        return Frame.from_array(self.pictures[index % 30], index)


def models() -> dict[str, SequenceModel]:
    """The small models with random weights, SELSA also in a sliding window."""
    configs = {name: get_config(name).model for name in ("tiny_dff", "tiny_fgfa", "tiny_selsa")}
    detector = configs["tiny_selsa"].detector
    configs["tiny_selsa in a window"] = fdl.Config(SELSAWindow, detector=detector, radius=5, stride=1)
    for config in configs.values():
        config.detector.preprocessor.test_scale = None  # pictures as small as they are
    return {name: prepare(fdl.build(config)) for name, config in configs.items()}


def measure(
    frames: int = 5000, size: tuple[int, int] = (64, 96), marks: tuple[int, ...] = (500, 2500, 4999)
) -> list[dict[str, Any]]:
    """A row per model: megabytes resident at the frames `marks`, and milliseconds per frame."""
    process, rows = psutil.Process(), []
    for name, model in models().items():
        row: dict[str, Any] = {"model": name}
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for t, _ in enumerate(model.stream(Video(Repeated(frames, size)))):
                if t in marks:
                    row[f"MB at {t}"] = process.memory_info().rss / 2**20
        rows.append(row | {"ms per frame": (time.perf_counter() - begun) / frames * 1e3})
    return rows
