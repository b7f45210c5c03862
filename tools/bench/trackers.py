"""Scenes of moving objects and the speed of the trackers' association on them.

The time of a frame is that of `tracker.update` with Instances in and out; detections and embeddings are given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from vidperc.structures import Instances
from vidperc.video.bot_sort import BoTSORT
from vidperc.video.byte_track import ByteTrack
from vidperc.video.deep_sort import DeepSORT
from vidperc.video.oc_sort import OCSORT
from vidperc.video.sort import SORT
from vidperc.video.tracking import Tracker

TRACKERS: dict[str, Callable[[], Tracker]] = {
    "SORT": SORT,
    "ByteTrack": ByteTrack,
    "OC-SORT": OCSORT,
    "DeepSORT": DeepSORT,
    "BoT-SORT": BoTSORT,
}
TARGETS: dict[str, dict[int, int | None]] = {  # frames per second on one core at 20, 50, 100 objects (and 300 for SORT)
    "SORT": {20: 6000, 50: 4000, 100: 2500, 300: 500},
    "ByteTrack": {20: 6000, 50: 4000, 100: 2500},
    "OC-SORT": {20: 3000, 50: 2000, 100: 1200},
    "DeepSORT": {20: 1500, 50: 800, 100: 400},
    "BoT-SORT": {20: None, 50: None, 100: None},  # without camera and embeddings
}


def scene(objects: int, frames: int = 300, seed: int = 0, embedding_size: int | None = None) -> list[Instances]:
    """Detections of `objects` people walking over a 1920x1080 picture and bouncing off its edges.

    Each frame misses 5 % of them, scores a tenth of them low, jitters boxes by 1.5 pixels and adds 3 % of false
    positives; embeddings, where asked for, are unit vectors scattered around one direction per object.
    """
    rng = np.random.default_rng(seed)
    extent = np.array([1920.0, 1080.0])
    centres = rng.uniform([50, 100], extent - [50, 100], (objects, 2))
    speeds = rng.normal(0, 3, (objects, 2))
    heights = rng.uniform(80, 200, objects)
    identities = None if embedding_size is None else rng.normal(size=(objects, embedding_size))
    out = []
    for _ in range(frames):
        centres += speeds
        speeds *= np.where((centres < 0) | (centres > extent), -1, 1)
        seen = rng.random(objects) > 0.05
        false_positives = rng.poisson(objects * 0.03)
        out.append(_frame(rng, centres[seen], heights[seen], false_positives, identities, seen))
    return out


def _frame(
    rng: np.random.Generator,
    centres: np.ndarray,
    heights: np.ndarray,
    false_positives: int,
    identities: np.ndarray | None,
    seen: np.ndarray,
) -> Instances:
    centres = np.concatenate((centres, rng.uniform(0, [1920, 1080], (false_positives, 2))))
    heights = np.concatenate((heights, rng.uniform(80, 200, false_positives)))
    half = np.stack((heights * 0.2, heights * 0.5), 1)
    boxes = np.concatenate((centres - half, centres + half), 1) + rng.normal(0, 1.5, (len(centres), 4))
    count = len(boxes)
    scores = np.where(rng.random(count) < 0.1, rng.uniform(0.15, 0.55, count), rng.uniform(0.7, 1, count))
    instances = Instances(
        boxes=torch.from_numpy(boxes.astype(np.float32)),
        labels=torch.zeros(count, dtype=torch.int64),
        scores=torch.from_numpy(scores.astype(np.float32)),
    )
    if identities is not None:
        size = identities.shape[1]
        vectors = np.concatenate((identities[seen], rng.normal(size=(false_positives, size))))
        vectors = vectors + rng.normal(0, 0.3, vectors.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        instances.embeddings = torch.from_numpy(vectors.astype(np.float32))
    return instances


def frames_per_second(tracker: Tracker, frames: Sequence[Instances], repeats: int = 15) -> float:
    """Frames per second of `tracker` over the scene, the best of `repeats` runs."""
    best = float("inf")
    for _ in range(repeats):
        state = tracker.init_state()
        start = time.perf_counter()
        for detections in frames:
            tracker.update(detections, state)
        best = min(best, time.perf_counter() - start)
    return len(frames) / best


def measure(names: Sequence[str] = tuple(TRACKERS), repeats: int = 15) -> list[dict[str, float | str]]:
    """A row per tracker and number of objects: `tracker`, `objects`, `fps`, `target`."""
    rows: list[dict[str, float | str]] = []
    for name in names:
        for objects, target in TARGETS[name].items():
            frames = scene(objects, embedding_size=128 if name == "DeepSORT" else None)
            fps = frames_per_second(TRACKERS[name](), frames, repeats)
            rows.append({"tracker": name, "objects": objects, "fps": fps, "target": target or ""})
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    for row in measure():
        print(f"{row['tracker']:10s} {row['objects']:4d} objects {row['fps']:8.0f} frames/s (target {row['target']})")
