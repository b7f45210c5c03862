"""Speed of the training data: 640x480 pictures, flipped, with changed light, at short side 320, through the loader."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vidperc.data.datasets import ClipDataset
from vidperc.data.loader import TrainingBatches, make_loader
from vidperc.data.readers.coco import read_coco
from vidperc.data.synthetic import synthetic_videos
from vidperc.data.transforms import Flip, PhotometricDistortion, Resize
from vidperc.data.writers import write_coco
from vidperc.structures import VideoRecord

TARGETS = {"synthetic": 100, "JPEG files": 60}  # images per second on two cores


def measure(
    images: int = 480, workers: int = 2, batch: int = 8, repeat: int = 2, coco: str | None = None
) -> list[dict[str, Any]]:
    """Images per second.

    Args:
        images: how many are timed, after a warm-up of as many.
        workers: processes.
        batch: clips per batch.
        repeat: the best of so many is given.
        coco: folder of a data set in COCO's form (`annotations/instances.json`, `images/`) to take
            in place of synthetic pictures written as JPEGs.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, records in _sources(Path(folder), coco):
            dataset = ClipDataset(records, transforms=[Resize((533, 320)), Flip(), PhotometricDistortion()])
            speed = max(_speed(dataset, images, workers, batch) for _ in range(repeat))
            target = TARGETS["synthetic" if name == "synthetic" else "JPEG files"]
            rows.append({"source": name, "workers": workers, "images/s": round(speed, 1), "target": target})
    return rows


def _sources(folder: Path, coco: str | None) -> Iterator[tuple[str, list[VideoRecord]]]:
    videos = synthetic_videos("train", 24, 40, (480, 640), "det")
    yield "synthetic", videos
    if coco is not None:
        yield "COCO", read_coco(Path(coco) / "annotations" / "instances.json", Path(coco) / "images")
    else:
        yield "JPEG files", read_coco(write_coco(videos[:4], folder), folder / "images")


def _speed(dataset: ClipDataset, images: int, workers: int, batch: int) -> float:
    batches = make_loader(dataset, TrainingBatches(len(dataset), batch), workers)
    for _ in range(images // batch):
        next(batches)
    began = time.perf_counter()
    for _ in range(images // batch):
        next(batches)
    return images // batch * batch / (time.perf_counter() - began)
