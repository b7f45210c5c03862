"""Training of STARK as published: GOT-10k, LaSOT, TrackingNet and COCO in equal shares, or GOT-10k alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fiddle as fdl

from vidperc.data.mixed import MixedClips
from vidperc.data.readers.coco import read_coco
from vidperc.data.readers.got10k import read_got10k
from vidperc.data.readers.lasot import read_lasot
from vidperc.data.readers.sot_files import read_names
from vidperc.data.readers.trackingnet import read_trackingnet
from vidperc.data.transforms.stark import StarkCrops
from vidperc.data.trident import TridentClips
from vidperc.engine.experiment import TrainData
from vidperc.engine.optim import AdamW, Rule
from vidperc.engine.schedule import Schedule
from vidperc.structures import VideoRecord

SAMPLES = 60_000  # clips of an epoch
PROHIBITED = "got10k/list0_prohibited_1000.txt"  # VOT's list of training videos that its own were taken from


def equal_shares(sources: Sequence[Sequence[VideoRecord]], positive: float, samples: int = SAMPLES) -> TrainData:
    """Clips of several data sets, of which `samples` are an epoch, equally many of each, and of each object in it.

    Args:
        positive: share of the clips whose search frame shows the object.
    """
    parts = [TridentClips(source, [StarkCrops()], positive=positive) for source in sources]
    repeats = [samples / len(parts) / len(part) for part in parts for _ in range(len(part))]
    return TrainData(MixedClips(parts), repeats=repeats)


def four_data_sets(data: str = "data", positive: float = 1.0) -> TrainData:
    """From the folders `got10k`, `lasot/LaSOTBenchmark`, `trackingnet` and `coco` in `data`.

    The videos of GOT-10k that VOT's were taken from are left out; their list is `got10k/list0_prohibited_1000.txt`,
    as the VOT challenge of 2019 gives it.
    """
    root = Path(data)
    prohibited = set(read_names(root / PROHIBITED))
    names = [name for name in read_names(root / "got10k/train/list.txt") if name not in prohibited]
    sources = [
        read_got10k(root / "got10k", "train", names),
        read_lasot(root / "lasot/LaSOTBenchmark", "train"),
        read_trackingnet(root / "trackingnet", "train"),
        read_coco(root / "coco/annotations/instances_train2017.json", root / "coco/train2017"),
    ]
    return equal_shares(sources, positive)


def got10k_alone(data: str = "data", positive: float = 1.0) -> TrainData:
    """All training videos of GOT-10k, in `data`/got10k, as its protocol asks for."""
    return equal_shares([read_got10k(Path(data) / "got10k", "train")], positive)


def stark_schedule(epochs: int) -> fdl.Config:
    """AdamW, the backbone at a tenth of the rate, all at a tenth for the last fifth of the epochs."""
    optimizer = fdl.Config(AdamW, lr=1e-4, weight_decay=1e-4, rules=[fdl.Config(Rule, r"^backbone\.", lr=0.1)])
    return fdl.Config(
        Schedule, epochs=epochs, milestones=(epochs * 4 // 5,), warmup_iterations=0, batch_size=128, clip_norm=0.1,
        optimizer=optimizer, evaluate_every=None,
    )  # fmt: skip
