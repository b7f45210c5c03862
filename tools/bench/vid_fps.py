"""Frames per second of the video detectors as their papers count them: with key frames, full windows, references in.

One video, batch 1: the time of the network and its postprocessing of frames that are in memory, each from uint8 to
detections; decoding and, for SELSA, the references are not counted.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from vidperc.sequence import Precision

from ._timing import synchronize
from .vid import ready


def measure(
    method: str = "dff",
    precision: Precision = "fp32",
    *,
    depth: int = 101,
    frames: int = 50,
    size: tuple[int, int] = (600, 1000),
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """One row: frames per second over `frames` frames, a multiple of DFF's key interval for a fair mean.

    Args:
        method: one of `vid.NAMES`.
    """
    model, state, pictures = ready(method, precision, depth, size, device)
    start = 0.0
    with model.inference():
        for number in range(-10, frames):
            if number == 0:
                synchronize()
                start = time.perf_counter()
            model.step(pictures[number % 2], state)
        synchronize()
    seconds = time.perf_counter() - start
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    row = {"method": method, "depth": depth, "precision": precision, "device": name, "frames": frames}
    return [row | {"ms per frame": 1e3 * seconds / frames, "fps": frames / seconds}]
