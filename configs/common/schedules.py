"""Training schedules under the names the published configs carry."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.engine.optim import SGD
from vidperc.engine.schedule import Schedule


def schedule_1x(**changes: Any) -> fdl.Config:
    """12 epochs of SGD, 16 images per step."""
    return fdl.Config(Schedule, epochs=12, milestones=(8, 11), **changes)


def schedule_20e(**changes: Any) -> fdl.Config:
    """20 epochs."""
    return fdl.Config(Schedule, epochs=20, milestones=(16, 19), **changes)


def schedule_2x(**changes: Any) -> fdl.Config:
    """24 epochs."""
    return fdl.Config(Schedule, epochs=24, **{"milestones": (16, 22), **changes})


def schedule_20_23_24e(**changes: Any) -> fdl.Config:
    """24 epochs with late milestones."""
    return fdl.Config(Schedule, epochs=24, milestones=(20, 23), **changes)


def schedule_3x(**changes: Any) -> fdl.Config:
    """36 epochs."""
    return fdl.Config(Schedule, epochs=36, **{"milestones": (27, 33), **changes})


def schedule_6x(**changes: Any) -> fdl.Config:
    """73 epochs, for networks that start from nothing."""
    return fdl.Config(Schedule, epochs=73, milestones=(65, 71), **changes)


def schedule_4x(**changes: Any) -> fdl.Config:
    """48 epochs."""
    return fdl.Config(Schedule, epochs=48, milestones=(32, 44), **changes)


def schedule_5x(**changes: Any) -> fdl.Config:
    """60 epochs."""
    return fdl.Config(Schedule, epochs=60, milestones=(50, 55), **changes)


def schedule_cityscapes() -> fdl.Config:
    """8 epochs of a data set repeated 8 times, 8 images per step."""
    return fdl.Config(Schedule, epochs=8, milestones=(7,), optimizer=fdl.Config(SGD, lr=0.01), batch_size=8)


def schedule_voc() -> fdl.Config:
    """4 epochs of a data set repeated 3 times."""
    return fdl.Config(Schedule, epochs=4, milestones=(3,), warmup_iterations=0, optimizer=fdl.Config(SGD, lr=0.01))


def schedule_of_transformers(epochs: int, **changes: Any) -> fdl.Config:
    """The rate falls after three quarters and eleven twelfths of the epochs, and rises for longer before."""
    milestones = (epochs * 3 // 4, epochs * 11 // 12)
    return fdl.Config(Schedule, epochs=epochs, milestones=milestones, warmup_iterations=1000, **changes)


def schedule_50e_crop640(**changes: Any) -> fdl.Config:
    """50 epochs of crops of 640 pixels, 64 images per step (NAS-FPN, https://arxiv.org/abs/1904.07392)."""
    optimizer = fdl.Config(SGD, lr=0.08, norm_decay=0.0)
    return fdl.Config(
        Schedule, epochs=50, milestones=(30, 40), warmup_iterations=1000, warmup_ratio=0.1, batch_size=64,
        optimizer=optimizer, **changes,
    )  # fmt: skip
