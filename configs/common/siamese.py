"""Training of SiamRPN++ as published: a mix of ImageNet VID, COCO and ImageNet DET (without YouTube-BB), 20 epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fiddle as fdl
import numpy as np

from vidperc.data.frame_samplers import Pair
from vidperc.data.mixed import MixedClips
from vidperc.data.objects import ObjectClips
from vidperc.data.readers.coco import read_coco
from vidperc.data.readers.pascal import read_imagenet_det, read_imagenet_vid
from vidperc.data.transforms import Transform
from vidperc.data.transforms.siamese import SiamesePair
from vidperc.engine.experiment import TrainData
from vidperc.engine.optim import SGD, Rule
from vidperc.engine.schedule import Curve, Schedule
from vidperc.structures import VideoRecord

EPOCHS = 20


@dataclass(frozen=True)
class RiseAndFall(Curve):
    """The rate rises by equal factors from `first` to 1 in `rise` epochs, then falls by equal factors to `final`."""

    epochs: int = EPOCHS
    rise: int = 5
    first: float = 0.2
    final: float = 0.1

    def __call__(self, progress: float) -> float:
        epoch = min(int(progress * self.epochs), self.epochs - 1)
        if epoch < self.rise:
            return float(self.first ** (1 - epoch / self.rise))
        done = (epoch - self.rise) / max(self.epochs - self.rise - 1, 1)
        return math.exp(done * math.log(self.final))


def mixed_pairs(
    sources: Sequence[Sequence[VideoRecord]], shares: Sequence[float], samples: int, transforms: Sequence[Transform]
) -> TrainData:
    """Pairs of several data sets, of which `samples` are an epoch, taken from each in the given shares.

    Within a data set every object comes equally often, however long it is seen. Both objects of a pair are of one
    data set.
    """
    parts = [ObjectClips(source, Pair(100), transforms) for source in sources]
    factors = [samples * share / part.weights.sum() for part, share in zip(parts, shares, strict=True)]
    repeats = np.concatenate([part.weights * factor for part, factor in zip(parts, factors)])
    return TrainData(MixedClips(parts), repeats=repeats.tolist())


def published_pairs(data: str = "data", samples: int = 600_000, grey: float = 0.0) -> TrainData:
    """The published mix, from the folders `coco` and `ILSVRC` in `data`; a share of the pairs is `grey`."""
    root = Path(data)
    coco = read_coco(root / "coco/annotations/instances_train2017.json", root / "coco/train2017")
    sources = [read_imagenet_vid(root / "ILSVRC", "train"), coco, read_imagenet_det(root / "ILSVRC")]
    return mixed_pairs(sources, (0.25, 0.2, 0.55), samples, [SiamesePair(grey=grey)])


def siamese_training() -> fdl.Config:
    """Data of the published training, read when it is built."""
    return fdl.Config(published_pairs)


def siamese_schedule() -> fdl.Config:
    """20 epochs of SGD; of the backbone layers 2 to 4 learn from epoch 10 on, at a tenth of the rate."""
    rest = fdl.Config(Rule, r"^backbone\.", lr=0.1, start=EPOCHS / 2)
    return fdl.Config(
        Schedule,
        epochs=EPOCHS,
        curve=fdl.Config(RiseAndFall),
        warmup_iterations=0,
        batch_size=28 * 8,  # as published: 28 on each of eight GPUs
        clip_norm=10.0,
        optimizer=fdl.Config(SGD, lr=0.005, momentum=0.9, weight_decay=1e-4, rules=[rest]),
    )
