"""OC-SORT (https://arxiv.org/abs/2203.14360): on given detections with the paper's numbers, and as MMTracking
publishes it, with YOLOX."""

import fiddle as fdl

from vidperc.video.eager_oc_sort import EagerOCSORT
from vidperc.video.oc_sort import OCSORT

from ..common.trackers import of_any_aspect, published_tracking, tracking_given_people
from ..det import yolox_mot


def ocsort_mot17() -> fdl.Config:
    tracker = fdl.Config(OCSORT, score_threshold=0.6, iou_threshold=0.3, delta=3, inertia=0.2)
    return tracking_given_people(tracker)


def ocsort_mot15() -> fdl.Config:
    """No settings of its own are published."""
    return ocsort_mot17()


def ocsort_mot16() -> fdl.Config:
    """The same pictures as MOT17's."""
    return ocsort_mot17()


def ocsort_mot20() -> fdl.Config:
    """Crowds, in which detectors are less sure of people."""
    config = ocsort_mot17()
    config.model.tracker.score_threshold = 0.4
    return config


def ocsort_dancetrack() -> fdl.Config:
    return of_any_aspect(ocsort_mot17())


def ocsort_yolox_x_crowdhuman_mot17_private_half() -> fdl.Config:
    """Half of MOT17 and CrowdHuman learn, the other half is tracked."""
    return published_tracking(yolox_mot.yolox_x_crowdhuman_mot17_half(), _eager())


def ocsort_yolox_x_crowdhuman_mot17_private() -> fdl.Config:
    return published_tracking(yolox_mot.yolox_x_crowdhuman_mot17(), _eager())


def ocsort_yolox_x_crowdhuman_mot20_private_half() -> fdl.Config:
    return published_tracking(yolox_mot.yolox_x_crowdhuman_mot20_half(), _eager())


def _eager() -> fdl.Config:
    return fdl.Config(
        EagerOCSORT, score_threshold=0.3, start=0.7, iou_threshold=0.3, delta=3, inertia=0.2, confirm=3, max_age=29
    )
