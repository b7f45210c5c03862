"""DeepSORT (https://arxiv.org/abs/1703.07402) as MMTracking publishes it, with its detector and its appearance."""

import fiddle as fdl

from vidperc.video.deep_sort import EagerDeepSORT

from ..common.trackers import judging_public_detections, published_tracking, reid_in
from ..det import faster_rcnn_mot


def deepsort_faster_rcnn_fpn_4e_mot17_private_half() -> fdl.Config:
    tracker = fdl.Config(
        EagerDeepSORT, score_threshold=0.5, max_distance=2.0, budget=10, iou_threshold=0.5, confirm=2, max_age=99
    )
    config = published_tracking(faster_rcnn_mot.faster_rcnn_r50_fpn_4e_mot17_half(), tracker)
    config.model.reid = reid_in(config.model.detector)
    return config


def deepsort_faster_rcnn_fpn_4e_mot17_public_half() -> fdl.Config:
    """The detector judges the public detections."""
    return judging_public_detections(deepsort_faster_rcnn_fpn_4e_mot17_private_half())
