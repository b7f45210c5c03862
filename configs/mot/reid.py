"""Re-identification networks of MMTracking's DeepSORT and Tracktor, trained on crops of MOTChallenge."""

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.engine.optim import SGD
from vidperc.engine.schedule import Schedule

from ..common.models import common_keys
from ..common.trackers import published_reid


def _reid(identities: int) -> fdl.Config:
    """8 clips per step, each of 4 crops of 8 identities."""
    schedule = fdl.Config(
        Schedule, epochs=6, milestones=(5,), warmup_iterations=1000, warmup_ratio=0.001,
        optimizer=fdl.Config(SGD, lr=0.1), batch_size=8,
    )  # fmt: skip
    return fdl.Config(
        Experiment, task="reid", model=published_reid(identities), schedule=schedule, published_keys=common_keys()
    )


def resnet50_b32x8_MOT15() -> fdl.Config:
    return _reid(368)


def resnet50_b32x8_MOT17() -> fdl.Config:
    return _reid(380)


def resnet50_b32x8_MOT20() -> fdl.Config:
    return _reid(1701)
