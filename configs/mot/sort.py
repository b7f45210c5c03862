"""SORT (https://arxiv.org/abs/1602.00763): the paper's on given detections, and MMTracking's with its detector."""

import fiddle as fdl

from vidperc.video.sort import SORT, EagerSORT

from ..common.trackers import judging_public_detections, published_tracking, tracking_given_detections
from ..det import faster_rcnn_mot


def sort_mot15() -> fdl.Config:
    """The paper's settings; its detections are Faster R-CNN's."""
    return tracking_given_detections(fdl.Config(SORT, max_age=1, min_hits=3, iou_threshold=0.3))


def sort_mot17() -> fdl.Config:
    """Public detections of MOT17; those scored below 0.5 are not used."""
    config = sort_mot15()
    config.model.detector.score_threshold = 0.5
    return config


def sort_mot16() -> fdl.Config:
    return sort_mot17()


def sort_mot20() -> fdl.Config:
    return sort_mot17()


def sort_dancetrack() -> fdl.Config:
    return sort_mot17()


def sort_faster_rcnn_fpn_4e_mot17_private_half() -> fdl.Config:
    tracker = fdl.Config(EagerSORT, score_threshold=0.5, iou_threshold=0.5)
    return published_tracking(faster_rcnn_mot.faster_rcnn_r50_fpn_4e_mot17_half(), tracker)


def sort_faster_rcnn_fpn_4e_mot17_private() -> fdl.Config:
    return sort_faster_rcnn_fpn_4e_mot17_private_half()


def sort_faster_rcnn_fpn_4e_mot17_public_half() -> fdl.Config:
    """The detector judges the public detections."""
    return judging_public_detections(sort_faster_rcnn_fpn_4e_mot17_private_half())


def sort_faster_rcnn_fpn_4e_mot17_public() -> fdl.Config:
    return sort_faster_rcnn_fpn_4e_mot17_public_half()
