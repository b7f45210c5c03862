"""The short synthetic clip that is tracked where no video is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from ..data.synthetic import SyntheticVideo
from ..io import VideoWriter
from ..structures import Frame


def synthetic_clip(
    out: Path, seed: int = 4, length: int = 150, size: tuple[int, int] = (360, 640)
) -> tuple[Path, Path]:
    """Write `out/input.mp4` and its ground truth `out/gt.txt`; return both paths."""
    video, truth = out / "input.mp4", out / "gt.txt"
    frames = SyntheticVideo(seed, length, size, "mot")
    with VideoWriter(video, frames.fps, crf=14) as writer, truth.open("w", encoding="utf-8") as file:
        for frame in frames.frames():
            writer.write(frame)
            file.writelines(_truth_rows(frame))
    return video, truth


def _truth_rows(frame: Frame) -> Iterator[str]:
    """MOTChallenge rows of a frame's ground truth; objects hardly seen are marked as not to be scored."""
    objects = frame.instances
    assert objects is not None and objects.ids is not None and objects.visibilities is not None
    ignored = objects.ignored if objects.ignored is not None else torch.zeros(len(objects), dtype=torch.bool)
    for box, i, seen, ignore in zip(
        objects.boxes.tolist(), objects.ids.tolist(), objects.visibilities.tolist(), ignored.tolist(), strict=True
    ):
        x1, y1, x2, y2 = box
        box_text = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
        yield f"{frame.index + 1},{i + 1},{box_text},{int(not ignore)},1,{seen:.3f}\n"
