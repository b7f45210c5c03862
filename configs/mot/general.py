"""Trackers with settings for any video and any detector, as `vidperc.track` takes them by name.

They take detections scored above 0.5 as certain, where the numbers tuned on MOT17 ask for 0.6 of a detector trained
for it. As models of their own (`vidperc.load`) DeepSORT and Tracktor have the tiny networks that ship with the package;
with MMTracking's they are in `deep_sort.py` and `tracktor.py`.
"""

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.video.bot_sort import BoTSORT
from vidperc.video.byte_track import ByteTrack
from vidperc.video.camera_motion import ECCMotion, SparseFlowMotion
from vidperc.video.deep_sort import DeepSORT
from vidperc.video.oc_sort import OCSORT
from vidperc.video.sort import SORT
from vidperc.video.tracking import GivenDetections, TrackByDetection
from vidperc.video.tracktor import TracktorTracker
from vidperc.video.tracktor_model import Tracktor

from ..det.tiny import tiny_det
from .reid import tiny_reid


def _any_detector(tracker: fdl.Config) -> fdl.Config:
    """`tracker` on the detections that come with the frames; `vidperc.track` puts a detector in their place."""
    model = fdl.Config(TrackByDetection, detector=fdl.Config(GivenDetections), tracker=tracker)
    return fdl.Config(Experiment, task="mot", model=model)


def _on_shipped(detection: fdl.Config, model: fdl.Config) -> fdl.Config:
    """A model whose detector is that of an experiment, with the checkpoint that ships of it."""
    return fdl.Config(
        Experiment,
        task="mot",
        model=model,
        classes=detection.classes,
        shipped=detection.shipped,
        shipped_part="detector",
    )


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


def deepsort() -> fdl.Config:
    """DeepSORT, which bridges long gaps by appearance."""
    config = _any_detector(fdl.Config(DeepSORT, max_distance=0.2, budget=100, confirm=3, max_age=30))
    appearance = tiny_reid()
    config.model.reid = appearance.model
    config.shipped, config.shipped_part = appearance.shipped, "reid"
    return config


def tracktor() -> fdl.Config:
    """Tracktor without appearance, moved along with the camera."""
    detection = tiny_det()
    tracker = fdl.Config(TracktorTracker, score_threshold=0.5, regression_threshold=0.5, max_age=9)
    model = fdl.Config(Tracktor, detector=detection.model, tracker=tracker, camera=fdl.Config(ECCMotion))
    return _on_shipped(detection, model)


def bytetrack_tiny_det() -> fdl.Config:
    """ByteTrack on the tiny detector, for the synthetic videos."""
    detection = tiny_det()
    model = fdl.Config(TrackByDetection, detector=detection.model, tracker=bytetrack().model.tracker)
    return _on_shipped(detection, model)
