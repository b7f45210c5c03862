"""Functions that tracking configs share."""

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.video.tracking import GivenDetections, TrackByDetection


def tracking_given_detections(tracker: fdl.Config, classes: tuple[str, ...] = ("person",)) -> fdl.Config:
    """An experiment of `tracker` on `frame.detections`."""
    model = fdl.Config(TrackByDetection, detector=fdl.Config(GivenDetections), tracker=tracker)
    return fdl.Config(Experiment, task="mot", model=model, classes=classes)


def published_tracking(detection: fdl.Config, tracker: fdl.Config) -> fdl.Config:
    """`tracker` on the model of an experiment of detection, with the names of MMTracking's checkpoints."""
    model = fdl.Config(TrackByDetection, detector=detection.model, tracker=tracker)
    keys = (
        (r"^detector\.", ""),
        *detection.published_keys,
        (r"^(?!reid\.)", "detector."),
    )
    return fdl.Config(Experiment, task="mot", model=model, classes=("person",), published_keys=keys)
