"""Memory of single-object tracking over a long run."""

from __future__ import annotations

from typing import Any

import numpy as np
import psutil
import torch

import vidperc


def measure(
    name: str = "tiny_siamese_rpn", frames: int = 20_000, size: tuple[int, int] = (120, 160), objects: int = 1
) -> list[dict[str, Any]]:
    """Resident MB at points of a run over `frames` generated frames of `size`, through a session."""
    process, rng = psutil.Process(), np.random.default_rng(0)
    model = vidperc.load(name)
    noise = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    prompt = torch.tensor([[20.0 + 40 * k, 30, 60 + 40 * k, 80] for k in range(objects)])
    session = vidperc.open_session(model, prompt)
    marks: dict[int, float] = {}
    for index in range(frames):
        session.update(np.roll(noise, index % size[1], 1))
        if index + 1 in (100, frames // 20, frames // 2, frames):
            marks[index + 1] = process.memory_info().rss / 2**20
    return [{"frame": index, "resident_mb": value} for index, value in marks.items()]
