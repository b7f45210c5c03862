"""Which detector: by name, by what is at hand, from a file, or any callable."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .image.function import FunctionDetector
from .image.torchvision_detector import ARCHITECTURES, cached_weights, published_weights
from .models import config_name, get_config, list_models, load
from .sequence import Precision, SequenceModel
from .structures import Frame, Instances
from .video.tracking import GivenDetections

DetectorSpec = str | Path | SequenceModel | Callable[[Frame], Instances]
SMALLEST = "ssdlite320_mobilenet_v3_large"
PATIENCE = 8.0  # seconds a download may take before the offline detector is the better choice


@dataclass
class Choice:
    """A detector, the names of its classes, and one line on which it is and why."""

    detector: SequenceModel
    classes: tuple[str, ...]
    reason: str
    detections: Path | None = None  # the file they are read from, for detections from files


def choose_detector(
    spec: DetectorSpec,
    *,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    **overrides: Any,
) -> Choice:
    """The detector that `spec` means.

    Args:
        spec: "auto", the name of a model, "given" for the detections that come with the frames, a file of
            detections (MOTChallenge det.txt, COCO json), a sequence model, or any function `frame -> Instances`.
        checkpoint, device, precision, overrides: as for `vidperc.load`, where `spec` is a name.

    Raises:
        KeyError: an unknown name. FileNotFoundError: a file of detections that is not there.
    """
    if isinstance(spec, SequenceModel):
        return Choice(spec, tuple(getattr(spec, "classes", ())), f"detector: {type(spec).__name__}, as given")
    if callable(spec):
        return Choice(FunctionDetector(spec), (), "detector: the given function")
    if spec == "given":
        return Choice(GivenDetections(), (), "detector: none, the detections that come with the frames")
    path = Path(spec)
    if path.suffix in (".txt", ".json"):
        if not path.is_file():
            raise FileNotFoundError(f"no file of detections at {path}")
        return Choice(GivenDetections(), (), f"detector: none, detections from {path}", detections=path)
    name, reason = automatic() if spec == "auto" else (str(spec), "as asked")
    detector = load(name, checkpoint, device, precision, **overrides)
    return Choice(detector, tuple(get_config(name).classes), f"detector: {name}, {reason}")


def is_model(name: str) -> bool:
    """Whether a config of that name ships."""
    return config_name(name) in list_models()


def automatic() -> tuple[str, str]:
    """The name of the detector that "auto" takes, and why."""
    for architecture in ARCHITECTURES:
        if cached_weights(architecture).is_file():
            return architecture, f"its weights are in {cached_weights(architecture).parent}"
    problem = download_problem(str(published_weights(SMALLEST).url))
    if problem is None:
        return SMALLEST, "its weights can be downloaded within seconds"
    return "hog", f"offline: {SMALLEST} is not cached and {problem}"


def download_problem(url: str, patience: float = PATIENCE) -> str | None:
    """Why `url` cannot be had within `patience` seconds, judged by its first bytes; None when it can."""
    start = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=3) as response:
            size = int(response.headers.get("Content-Length") or 0)
            got = 0
            while time.monotonic() - start < 1.5 and (chunk := response.read(1 << 16)):
                got += len(chunk)
    except (OSError, urllib.error.URLError) as error:
        return f"its server is not reached ({getattr(error, 'reason', error)})"
    needed = size / max(got / max(time.monotonic() - start, 1e-3), 1)
    return None if needed <= patience else f"its download would take {needed:.0f} s"
