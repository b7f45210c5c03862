"""BoT-SORT (https://arxiv.org/abs/2206.14651) on detections that are given."""

import fiddle as fdl

from vidperc.video.bot_sort import BoTSORT
from vidperc.video.camera_motion import SparseFlowMotion

from ..common.trackers import of_any_aspect, tracking_given_people


def botsort_mot17() -> fdl.Config:
    tracker = fdl.Config(BoTSORT, camera=fdl.Config(SparseFlowMotion), high=0.6, low=0.1, start=0.7, match=0.8)
    return tracking_given_people(tracker)


def botsort_mot17_fixed_camera() -> fdl.Config:
    """Without compensation of camera motion: no look at the pictures."""
    config = botsort_mot17()
    config.model.tracker.camera = None
    return config


def botsort_mot15() -> fdl.Config:
    """No settings of its own are published."""
    return botsort_mot17()


def botsort_mot16() -> fdl.Config:
    """The same pictures as MOT17's."""
    return botsort_mot17()


def botsort_mot20() -> fdl.Config:
    """Crowds: less is asked of a match with a confirmed track's prediction."""
    config = botsort_mot17()
    config.model.tracker.match = 0.7
    return config


def botsort_dancetrack() -> fdl.Config:
    return of_any_aspect(botsort_mot17())
