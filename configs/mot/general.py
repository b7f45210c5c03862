"""Trackers with settings for any video and any detector, as `vidperc.track` takes them by name.

They take detections scored above 0.5 as certain, where the numbers tuned on MOT17 ask for 0.6 of a detector trained
for it. DeepSORT and Tracktor are not among them: the one needs a trained appearance network, the other a two-stage
detector; both are there with MMTracking's networks, in `deep_sort.py` and `tracktor.py`.
"""

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.video.bot_sort import BoTSORT
from vidperc.video.byte_track import ByteTrack
from vidperc.video.camera_motion import SparseFlowMotion
from vidperc.video.oc_sort import OCSORT
from vidperc.video.sort import SORT
from vidperc.video.tracking import GivenDetections, TrackByDetection


def _any_detector(tracker: fdl.Config) -> fdl.Config:
    """`tracker` on the detections that come with the frames; `vidperc.track` puts a detector in their place."""
    model = fdl.Config(TrackByDetection, detector=fdl.Config(GivenDetections), tracker=tracker)
    return fdl.Config(Experiment, task="mot", model=model)


def sort() -> fdl.Config:
    """SORT that bridges gaps of a second or so, as detectors without training leave them."""
    return _any_detector(fdl.Config(SORT, max_age=30, min_hits=3, iou_threshold=0.3))


def bytetrack() -> fdl.Config:
    """ByteTrack: detections of low scores continue tracks, but start none."""
    return _any_detector(fdl.Config(ByteTrack, high=0.5, low=0.1, start=0.6, match=0.9, max_age=30))


def ocsort() -> fdl.Config:
    """OC-SORT: for motion that is not straight."""
    return _any_detector(
        fdl.Config(OCSORT, score_threshold=0.5, iou_threshold=0.3, delta=3, inertia=0.2, min_hits=3, max_age=30)
    )


def botsort() -> fdl.Config:
    """BoT-SORT with compensation of camera motion, which looks at the pictures."""
    return _any_detector(
        fdl.Config(BoTSORT, camera=fdl.Config(SparseFlowMotion), high=0.5, low=0.1, start=0.6, match=0.8, max_age=30)
    )
