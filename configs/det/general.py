"""Detectors that need no training here: OpenCV's, background subtraction, torchvision's with their weights."""

import fiddle as fdl

from vidperc.engine.experiment import Experiment
from vidperc.image.hog import HogPeopleDetector
from vidperc.image.torchvision_detector import TorchvisionDetector, classes_of
from vidperc.video.motion import MotionDetector


def hog() -> fdl.Config:
    """Upright people, offline."""
    return fdl.Config(Experiment, task="det", model=fdl.Config(HogPeopleDetector), classes=("person",))


def motion() -> fdl.Config:
    """Moving objects before a fixed camera, offline."""
    return fdl.Config(Experiment, task="vid", model=fdl.Config(MotionDetector), classes=("object",))


def _torchvision(architecture: str) -> fdl.Config:
    model = fdl.Config(TorchvisionDetector, architecture=architecture)
    return fdl.Config(Experiment, task="det", model=model, classes=classes_of(architecture), pretrained=True)


def fasterrcnn_resnet50_fpn_v2() -> fdl.Config:
    return _torchvision("fasterrcnn_resnet50_fpn_v2")


def retinanet_resnet50_fpn_v2() -> fdl.Config:
    return _torchvision("retinanet_resnet50_fpn_v2")


def fcos_resnet50_fpn() -> fdl.Config:
    return _torchvision("fcos_resnet50_fpn")


def ssdlite320_mobilenet_v3_large() -> fdl.Config:
    return _torchvision("ssdlite320_mobilenet_v3_large")
