"""YOLOX-X for people, as ByteTrack and OC-SORT take it: learns from MOTChallenge and CrowdHuman for 80 epochs."""

from __future__ import annotations

import fiddle as fdl

from vidperc.engine.experiment import Experiment

from ..common.classes import mot_classes
from ..common.dense import dense_keys
from ..common.mot_data import mot_detection_scoring, people_training
from ..common.yolox import wide, yolox, yolox_schedule


def _people(
    root: str, names: tuple[str, ...] | None = None, half: int | None = None, scale: tuple[int, int] = (1440, 800)
) -> fdl.Config:
    """`half` 0 learns from the first half of each sequence and is scored on the second; None from all, on all."""
    model = yolox("x", 1, wide(scale))
    model.head.postprocessor.iou_threshold = 0.7
    return fdl.Config(
        Experiment,
        task="det",
        model=model,
        classes=mot_classes(),
        published_keys=dense_keys(),
        train_data=fdl.Config(people_training, root, names, half, side=scale),
        test_data=fdl.Config(mot_detection_scoring, root, names, None if half is None else 1),
        schedule=yolox_schedule(epochs=80, lr=5e-4, batch_size=32, warm=1, flat=10),
    )


def yolox_x_crowdhuman_mot17_half() -> fdl.Config:
    return _people("data/MOT17/train", ("FRCNN",), 0)


def yolox_x_crowdhuman_mot17() -> fdl.Config:
    return _people("data/MOT17/train", ("FRCNN",))


def yolox_x_crowdhuman_mot20() -> fdl.Config:
    return _people("data/MOT20/train", scale=(1600, 896))


def yolox_x_crowdhuman_mot20_half() -> fdl.Config:
    return _people("data/MOT20/train", half=0, scale=(1600, 896))
