"""Speed of multi-object tracking evaluation: HOTA, CLEAR and Identity of crowds of imperfect tracks."""

from __future__ import annotations

import time

import numpy as np

from vidperc.evaluation import Tracks, evaluate_mot

SEQUENCES, FRAMES, OBJECTS = 3, 600, 30
TARGET = 0.5  # seconds on one core for all sequences


def crowd(seed: int, frames: int = FRAMES, objects: int = OBJECTS) -> tuple[Tracks, Tracks]:
    """Ground truth and tracks of people bouncing about 1920x1080: 10 % missed, 5 % displaced, ids that change."""
    rng = np.random.default_rng(seed)
    speed = rng.uniform(-0.01, 0.01, (objects, 2))
    path = rng.uniform(0, 2, (objects, 2)) + speed * np.arange(frames)[:, None, None]  # (T, N, 2)
    corner = np.abs(path % 2 - 1) * [1920.0, 1080.0]
    extent = rng.uniform(40, 160, (objects, 1)) * [1, 2.5]
    boxes = np.concatenate([corner, corner + extent], 2).reshape(-1, 4)
    frame, identity = np.divmod(np.arange(frames * objects), objects)
    track = identity + objects * np.cumsum(rng.random((frames, objects)) < 0.003, 0).ravel()
    noisy = boxes + rng.normal(0, 0.05, boxes.shape) * np.tile(extent, (frames, 2))
    noisy[rng.random(len(boxes)) < 0.05] += 300
    found = rng.random(len(boxes)) < 0.9
    return Tracks(frame, identity, boxes, length=frames), Tracks(frame[found], track[found], noisy[found])


def measure(
    sequences: int = SEQUENCES, frames: int = FRAMES, objects: int = OBJECTS, repeats: int = 5
) -> list[dict[str, float | str]]:
    """Best seconds for all sequences together, from boxes in memory to the scores, and the scores."""
    scenes = {str(seed): crowd(seed, frames, objects) for seed in range(sequences)}
    truth, tracks = ({name: scene[side] for name, scene in scenes.items()} for side in (0, 1))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        scores = evaluate_mot(truth, tracks).combined
        seconds.append(time.perf_counter() - start)
    name = f"{sequences} x {frames} frames x {objects} objects"
    row: dict[str, float | str] = {"scene": name, "seconds": min(seconds)}
    if (sequences, frames, objects) == (SEQUENCES, FRAMES, OBJECTS):
        row["target"] = TARGET
    return [row | {name: scores[name] for name in ("HOTA", "MOTA", "IDF1")}]
