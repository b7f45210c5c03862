"""DeepSORT (https://arxiv.org/abs/1703.07402): the paper's tracker on given detections with a published appearance
network, whose checkpoint is the one to give, and as MMTracking publishes it, with its detector."""

import fiddle as fdl

from vidperc.video.deep_sort import DeepSORT, EagerDeepSORT

from ..common.models import common_keys
from ..common.trackers import (
    judging_public_detections,
    published_reid,
    published_tracking,
    reid_in,
    tracking_given_detections,
)
from ..det import faster_rcnn_mot


def _given(identities: int) -> fdl.Config:
    config = tracking_given_detections(fdl.Config(DeepSORT, confirm=3, max_age=30, score_threshold=0.3))
    config.model.reid = published_reid(identities)
    config.published_keys = (*common_keys(), (r"^(?!reid\.)", "reid."))
    return config


def deepsort_mot15() -> fdl.Config:
    return _given(368)


def deepsort_mot16() -> fdl.Config:
    return _given(371)


def deepsort_mot17() -> fdl.Config:
    return _given(380)


def deepsort_mot20() -> fdl.Config:
    return _given(1701)


def deepsort_dancetrack() -> fdl.Config:
    """With MOT17's appearance network; none is published for dancers, who are dressed alike."""
    return deepsort_mot17()


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
