"""OC-SORT (https://arxiv.org/abs/2203.14360) on detections that are given."""

import fiddle as fdl

from vidperc.video.oc_sort import OCSORT
from vidperc.video.track_region import Shapes

from ..common.trackers import tracking_given_detections


def ocsort_mot17() -> fdl.Config:
    tracker = fdl.Config(OCSORT, score_threshold=0.6, iou_threshold=0.3, delta=3, inertia=0.2)
    config = tracking_given_detections(tracker)
    config.model.shapes = fdl.Config(Shapes, min_area=100.0, max_aspect=1.6)
    return config


def ocsort_dancetrack() -> fdl.Config:
    """Dancers lie and jump: boxes of any aspect."""
    config = ocsort_mot17()
    config.model.shapes = fdl.Config(Shapes, min_area=100.0)
    return config
