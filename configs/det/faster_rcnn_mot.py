"""Faster R-CNN on MOTChallenge: pedestrians, boxes may leave the picture as the benchmark's do."""

from __future__ import annotations

import fiddle as fdl

from vidperc.checkpoint.initial import InitialWeights

from ..common.backbones import with_depth
from ..common.classes import mot_classes
from ..common.mot_data import mot_detection_scoring, mot_detection_training
from ..common.schedules import schedule_1x
from ..common.two_stage import experiment, faster_rcnn, smooth_l1

COCO_WEIGHTS = (  # of Faster R-CNN, 24 epochs
    "https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_2x_coco/"
    "faster_rcnn_r50_fpn_2x_coco_bbox_mAP-0.384_20200504_210434-a5d8aa15.pth"
)


def _mot(benchmark: str, half: bool = True, epochs: int = 4, milestone: int = 3) -> fdl.Config:
    """Fine-tuned from a detector of COCO, on the first half of each sequence, or on all."""
    schedule = schedule_1x(warmup_iterations=100, warmup_ratio=0.01)
    schedule.epochs, schedule.milestones = epochs, (milestone,)
    config = experiment(faster_rcnn(1), schedule, mot_classes())
    model = config.model
    model.preprocessor.test_scale = (1088, 1088)
    model.rpn.criterion.regression.loss = smooth_l1(1 / 9)
    model.roi_head.criterion.regression.loss = smooth_l1()
    model.rpn.coder.clip_border = model.roi_head.coder.clip_border = False
    config.initial = fdl.Config(InitialWeights, model=COCO_WEIGHTS)
    root, names = f"data/{benchmark}/train", ("FRCNN",) if benchmark == "MOT17" else None
    config.train_data = fdl.Config(mot_detection_training, root, names, 0 if half else None)
    config.test_data = fdl.Config(mot_detection_scoring, root, names, 1 if half else None)
    return config


def faster_rcnn_r50_fpn_4e_mot15_half() -> fdl.Config:
    return _mot("MOT15")


def faster_rcnn_r50_fpn_4e_mot16_half() -> fdl.Config:
    return _mot("MOT16")


def faster_rcnn_r50_fpn_4e_mot17() -> fdl.Config:
    return _mot("MOT17", half=False)


def faster_rcnn_r50_fpn_4e_mot17_half() -> fdl.Config:
    return _mot("MOT17")


def faster_rcnn_r101_fpn_4e_mot17_half() -> fdl.Config:
    return with_depth(_mot("MOT17"), 101)


def faster_rcnn_r50_fpn_8e_mot20() -> fdl.Config:
    return _mot("MOT20", half=False, epochs=8, milestone=6)


def faster_rcnn_r50_fpn_8e_mot20_half() -> fdl.Config:
    return _mot("MOT20", epochs=8, milestone=6)
