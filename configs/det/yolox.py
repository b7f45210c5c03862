"""YOLOX (https://arxiv.org/abs/2107.08430)."""

from __future__ import annotations

import fiddle as fdl

from vidperc.engine.experiment import Experiment

from ..common.classes import coco_classes
from ..common.dense import dense_keys
from ..common.yolox import square, yolox, yolox_schedule


def _coco(size: str, side: int = 640) -> fdl.Config:
    return fdl.Config(
        Experiment,
        task="det",
        model=yolox(size, 80, square(side)),
        classes=coco_classes(),
        published_keys=dense_keys(),
        schedule=yolox_schedule(),
    )


def yolox_tiny_8x8_300e_coco() -> fdl.Config:
    return _coco("tiny", 416)


def yolox_s_8x8_300e_coco() -> fdl.Config:
    return _coco("s")


def yolox_m_8x8_300e_coco() -> fdl.Config:
    return _coco("m")


def yolox_l_8x8_300e_coco() -> fdl.Config:
    return _coco("l")


def yolox_x_8x8_300e_coco() -> fdl.Config:
    return _coco("x")
