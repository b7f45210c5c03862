"""BoT-SORT (https://arxiv.org/abs/2206.14651) on detections that are given."""

import fiddle as fdl

from vidperc.video.bot_sort import BoTSORT
from vidperc.video.camera_motion import SparseFlowMotion
from vidperc.video.track_region import Shapes

from ..common.trackers import tracking_given_detections


def botsort_mot17() -> fdl.Config:
    tracker = fdl.Config(BoTSORT, camera=fdl.Config(SparseFlowMotion), high=0.6, low=0.1, start=0.7, match=0.8)
    config = tracking_given_detections(tracker)
    config.model.shapes = fdl.Config(Shapes, min_area=100.0, max_aspect=1.6)
    return config


def botsort_mot17_fixed_camera() -> fdl.Config:
    """Without compensation of camera motion: no look at the pictures."""
    config = botsort_mot17()
    config.model.tracker.camera = None
    return config
