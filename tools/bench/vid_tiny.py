"""Speed of the tiny video detectors on whole videos, beside the detector that sees one frame at a time.

Milliseconds per frame from pictures in memory to detections, the least of the repeats; the models take turns. SELSA's
figure includes its references, which it reads first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import vidperc
from vidperc.data.synthetic import synthetic_videos
from vidperc.sequence import Precision
from vidperc.structures import Video

from ._timing import least_ms

BASE = "tiny_vid_single_frame"


def measure(
    names: Sequence[str] = ("tiny_dff", "tiny_fgfa", "tiny_selsa"),
    length: int = 40,
    repeats: int = 3,
    precision: Precision = "fp32",
) -> list[dict[str, Any]]:
    """A row per model; `times_base` is how many times as fast it is as the detector of single frames."""
    (record,) = synthetic_videos("test", 1, length, flavour="vid")
    assert record.load is not None
    frames = [record.load(index).array for index in range(length)]
    names = (BASE, *names)
    models = [vidperc.load(name, precision=precision) for name in names]
    times = least_ms([lambda m=model: list(m.stream(Video.from_frames(frames))) for model in models], repeats)  # type: ignore[misc]
    return [
        {"model": name, "ms_per_frame": time / length, "times_base": times[0] / time}
        for name, time in zip(names, times, strict=True)
    ]
