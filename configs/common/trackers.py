"""Functions that tracking configs share."""

import copy

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.image.backbones import ResNet
from vidperc.image.crops import NetworkCrops, PixelCrops
from vidperc.video.public_detector import PublicDetector
from vidperc.video.reid import ReID, ReIDHead
from vidperc.video.track_region import Shapes
from vidperc.video.tracking import GivenDetections, TrackByDetection


def tracking_given_detections(tracker: fdl.Config, classes: tuple[str, ...] = ("person",)) -> fdl.Config:
    """An experiment of `tracker` on `frame.detections`."""
    model = fdl.Config(TrackByDetection, detector=fdl.Config(GivenDetections), tracker=tracker)
    return fdl.Config(Experiment, task="mot", model=model, classes=classes)


def tracking_given_people(tracker: fdl.Config) -> fdl.Config:
    """An experiment that reports boxes of more than 100 pixels, not wider than 1.6 times their height, as ByteTrack."""
    config = tracking_given_detections(tracker)
    config.model.shapes = fdl.Config(Shapes, min_area=100.0, max_aspect=1.6)
    return config


def of_any_aspect(config: fdl.Config) -> fdl.Config:
    """An experiment for DanceTrack, whose dancers lie and jump: boxes of any aspect count."""
    config.model.shapes.max_aspect = float("inf")
    return config


def published_tracking(detection: fdl.Config, tracker: fdl.Config) -> fdl.Config:
    """`tracker` on the model of an experiment of detection, with the names of MMTracking's checkpoints."""
    return published_model(detection, fdl.Config(TrackByDetection, detector=detection.model, tracker=tracker))


def published_model(detection: fdl.Config, model: fdl.Config) -> fdl.Config:
    """An experiment of a model with parts `detector` and `reid`, named so in MMTracking's checkpoints too."""
    keys = (
        (r"^detector\.", ""),
        *detection.published_keys,
        (r"^(?!reid\.)", "detector."),
    )
    return fdl.Config(Experiment, task="mot", model=model, classes=("person",), published_keys=keys)


def judging_public_detections(config: fdl.Config) -> fdl.Config:
    """The detector judges the frames' public detections instead of its own proposals."""
    config.model.detector = fdl.Config(PublicDetector, config.model.detector)
    config.published_keys = (*config.published_keys, (r"^detector\.", "detector.detector."))
    return config


def published_reid(identities: int = 380) -> fdl.Config:
    """ResNet-50 with a 128-d embedding of crops of the frame's own pixels."""
    return fdl.Config(
        ReID,
        crops=fdl.Config(PixelCrops),
        backbone=fdl.Config(ResNet, depth=50, out_indices=(3,), frozen_stages=-1, norm_eval=False),
        head=fdl.Config(ReIDHead, identities=identities),
    )


def reid_in(detector: fdl.Config, identities: int = 380) -> fdl.Config:
    """The same, cutting from the picture as a detector sees it, which is what MMTracking's trackers do."""
    config = published_reid(identities)
    config.crops = fdl.Config(NetworkCrops, preprocessor=copy.deepcopy(detector.preprocessor))
    return config
