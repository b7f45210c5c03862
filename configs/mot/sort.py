"""SORT (https://arxiv.org/abs/1602.00763) on detections that are given."""

import fiddle as fdl

from vidperc.video.sort import SORT

from ..common.trackers import tracking_given_detections


def sort_mot15() -> fdl.Config:
    """The paper's settings; its detections are Faster R-CNN's."""
    return tracking_given_detections(fdl.Config(SORT, max_age=1, min_hits=3, iou_threshold=0.3))


def sort_mot17() -> fdl.Config:
    """Public detections of MOT17; those scored below 0.5 are not used."""
    config = sort_mot15()
    config.model.detector.score_threshold = 0.5
    return config
