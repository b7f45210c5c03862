"""Trackers with settings for any video and any detector, as `vidperc.track` takes them by name."""

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.video.sort import SORT
from vidperc.video.tracking import GivenDetections, TrackByDetection


def sort() -> fdl.Config:
    """SORT that bridges gaps of a second or so, as detectors without training leave them."""
    tracker = fdl.Config(SORT, max_age=30, min_hits=3, iou_threshold=0.3)
    model = fdl.Config(TrackByDetection, detector=fdl.Config(GivenDetections), tracker=tracker)
    return fdl.Config(Experiment, task="mot", model=model)
