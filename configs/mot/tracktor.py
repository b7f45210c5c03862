"""Tracktor (https://arxiv.org/abs/1903.05625) with appearance and camera motion, as MMTracking publishes it."""

import copy

import fiddle as fdl

from vidperc.video.tracktor import TracktorTracker
from vidperc.video.tracktor_model import PublicTracktor, Tracktor, UnscaledECCMotion

from ..common.trackers import published_model, reid_in
from ..det import faster_rcnn_mot


def _private(detection: fdl.Config, identities: int = 380) -> fdl.Config:
    """The detector's own detections start tracks."""
    tracker = fdl.Config(
        TracktorTracker, score_threshold=0.5, regression_threshold=0.5, nms_threshold=0.6, new_threshold=0.3,
        max_distance=2.0, revival_overlap=0.2, budget=10, max_age=9,
    )  # fmt: skip
    camera = fdl.Config(
        UnscaledECCMotion, copy.deepcopy(detection.model.preprocessor), model="euclidean", iterations=100,
        precision=1e-5,
    )  # fmt: skip
    reid = reid_in(detection.model, identities)
    model = fdl.Config(Tracktor, detector=detection.model, tracker=tracker, reid=reid, camera=camera)
    return published_model(detection, model)


def _public(config: fdl.Config) -> fdl.Config:
    """Public detections, judged by the detector, start tracks."""
    fdl.update_callable(config.model, PublicTracktor)
    return config


def tracktor_faster_rcnn_r50_fpn_4e_mot15_private_half() -> fdl.Config:
    return _private(faster_rcnn_mot.faster_rcnn_r50_fpn_4e_mot15_half(), 375)


def tracktor_faster_rcnn_r50_fpn_4e_mot15_public_half() -> fdl.Config:
    return _public(tracktor_faster_rcnn_r50_fpn_4e_mot15_private_half())


def tracktor_faster_rcnn_r50_fpn_4e_mot16_private_half() -> fdl.Config:
    return _private(faster_rcnn_mot.faster_rcnn_r50_fpn_4e_mot16_half(), 375)


def tracktor_faster_rcnn_r50_fpn_4e_mot16_public_half() -> fdl.Config:
    return _public(tracktor_faster_rcnn_r50_fpn_4e_mot16_private_half())


def tracktor_faster_rcnn_r50_fpn_4e_mot17_private_half() -> fdl.Config:
    return _private(faster_rcnn_mot.faster_rcnn_r50_fpn_4e_mot17_half())


def tracktor_faster_rcnn_r50_fpn_fp16_4e_mot17_private_half() -> fdl.Config:
    """Trained in half precision; `precision="fp16"` runs it so."""
    return tracktor_faster_rcnn_r50_fpn_4e_mot17_private_half()


def tracktor_faster_rcnn_r50_fpn_4e_mot17_public_half() -> fdl.Config:
    return _public(tracktor_faster_rcnn_r50_fpn_4e_mot17_private_half())


def tracktor_faster_rcnn_r50_fpn_4e_mot17_public_half_search() -> fdl.Config:
    """The published search for thresholds; `tools/tune.py` searches those of trackers on given detections."""
    return tracktor_faster_rcnn_r50_fpn_4e_mot17_public_half()


def tracktor_faster_rcnn_r50_fpn_4e_mot17_private() -> fdl.Config:
    return _private(faster_rcnn_mot.faster_rcnn_r50_fpn_4e_mot17())


def tracktor_faster_rcnn_r50_fpn_4e_mot17_public() -> fdl.Config:
    return _public(tracktor_faster_rcnn_r50_fpn_4e_mot17_private())


def tracktor_faster_rcnn_r50_fpn_8e_mot20_private_half() -> fdl.Config:
    return _private(faster_rcnn_mot.faster_rcnn_r50_fpn_8e_mot20_half(), 1705)


def tracktor_faster_rcnn_r50_fpn_8e_mot20_public_half() -> fdl.Config:
    return _public(tracktor_faster_rcnn_r50_fpn_8e_mot20_private_half())


def tracktor_faster_rcnn_r50_fpn_8e_mot20_public() -> fdl.Config:
    return _public(_private(faster_rcnn_mot.faster_rcnn_r50_fpn_8e_mot20(), 1705))
