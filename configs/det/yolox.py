"""YOLOX (https://arxiv.org/abs/2107.08430)."""

from __future__ import annotations

from typing import Any

import fiddle as fdl

from vidperc.engine.experiment import Experiment

from ..common.classes import coco_classes
from ..common.dense import dense_keys
from ..common.det_data import coco_scoring
from ..common.yolox import square, yolox, yolox_schedule
from ..common.yolox_data import coco_mosaics


def _coco(size: str, side: int = 640, **data: Any) -> fdl.Config:
    return fdl.Config(
        Experiment,
        task="det",
        model=yolox(size, 80, square(side)),
        classes=coco_classes(),
        published_keys=dense_keys(),
        train_data=fdl.Config(coco_mosaics, **data),
        test_data=fdl.Config(coco_scoring),
        schedule=yolox_schedule(),
    )


def yolox_tiny_8x8_300e_coco() -> fdl.Config:
    return _coco("tiny", 416, steps=(10, 20), factors=(0.5, 1.5), mixup=False)


def yolox_s_8x8_300e_coco() -> fdl.Config:
    return _coco("s")


def yolox_m_8x8_300e_coco() -> fdl.Config:
    return _coco("m")


def yolox_l_8x8_300e_coco() -> fdl.Config:
    return _coco("l")


def yolox_x_8x8_300e_coco() -> fdl.Config:
    return _coco("x")
