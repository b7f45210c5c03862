"""Which detector: by name, by what is at hand, from a file, or any callable."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .checkpoint.backbone import load_backbone
from .checkpoint.download import cached_path
from .checkpoint.sources import torchvision_url
from .image.function import FunctionDetector
from .image.torchvision_detector import ARCHITECTURES, cached_weights, published_weights
from .layers.fuse import fuse_conv_norm
from .models import config_name, get_config, list_models, load
from .sequence import Precision, SequenceModel
from .structures import Frame, Instances
from .video.reid import ReID
from .video.tracking import GivenDetections
from .zoo import published_checkpoint

DetectorSpec = str | Path | SequenceModel | Callable[[Frame], Instances]
SMALLEST = "ssdlite320_mobilenet_v3_large"
TWO_STAGE = "faster_rcnn_r50_fpn_1x_coco"
PATIENCE = 8.0  # seconds a download may take before the offline detector is the better choice


@dataclass
class Choice:
    """A detector, the names of its classes, which it is and why."""

    detector: SequenceModel
    classes: tuple[str, ...]
    name: str
    why: str
    detections: Path | None = None  # the file they are read from, for detections from files

    @property
    def reason(self) -> str:
        """One line on which it is and why."""
        return f"detector: {self.name}, {self.why}"

    def labels(self, classes: Sequence[str] | None) -> list[int] | None:
        """The labels of class names.

        Raises:
            ValueError: a class that the detector does not have.
        """
        if classes is None:
            return None
        unknown = [name for name in classes if name not in self.classes]
        if unknown:
            raise ValueError(
                f"the detector has no class {', '.join(unknown)}; it has {', '.join(self.classes) or 'no names'}"
            )
        return [self.classes.index(name) for name in classes]


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
        return Choice(spec, tuple(getattr(spec, "classes", ())), type(spec).__name__, "as given")
    if callable(spec):
        return Choice(FunctionDetector(spec), (), "a function", "as given")
    if spec == "given":
        return Choice(GivenDetections(), (), "none", "the detections that come with the frames")
    path = Path(spec)
    if path.suffix in (".txt", ".json"):
        if not path.is_file():
            raise FileNotFoundError(f"no file of detections at {path}")
        return Choice(GivenDetections(), (), "none", f"detections from {path}", detections=path)
    name, why = automatic() if spec == "auto" else (str(spec), "as asked")
    detector = load(name, checkpoint, device, precision, **overrides)
    return Choice(detector, tuple(get_config(name).classes), name, why)


def choose_two_stage(
    checkpoint: str | Path | None = None, device: str | torch.device = "cpu", precision: Precision = "fp32"
) -> Choice:
    """The detector of trackers that regress boxes (Tracktor): COCO's Faster R-CNN if at hand, else a tiny one.

    The tiny one ships with the package and knows synthetic objects only, which is said.
    """
    url = published_checkpoint(TWO_STAGE)
    if checkpoint is not None:
        return choose_detector(TWO_STAGE, checkpoint=checkpoint, device=device, precision=precision)
    problem = None if cached_path(url).is_file() else download_problem(url)
    if problem is None:
        choice = choose_detector(TWO_STAGE, checkpoint="published", device=device, precision=precision)
        return replace(choice, why="published weights")
    choice = choose_detector("tiny_det", device=device, precision=precision)
    why = (
        f"which knows synthetic objects only: {TWO_STAGE} is not cached and {problem}. "
        f"Give --detector {TWO_STAGE} --checkpoint FILE, or another two-stage model"
    )
    return replace(choice, why=why)


def choose_reid(
    spec: str = "auto", *, checkpoint: str | Path | None = None, device: str | torch.device = "cpu"
) -> tuple[ReID, str, str]:
    """A re-identification network, which it is and why.

    Args:
        spec: "auto", or the name of a config of re-identification: `resnet50_b32x8_MOT17` with a `checkpoint`,
            `reid_imagenet_resnet18` (or 50) with torchvision's weights, `tiny_reid`, which ships with the package.
        checkpoint: of the network; for `reid_imagenet_*` a file of the classifier, downloaded where there is none.

    Raises:
        KeyError: an unknown name. TypeError: a model of another task.
    """
    name, why = spec, "as asked"
    if spec == "auto":
        cached = cached_path(torchvision_url("resnet18")).is_file()
        name = "reid_imagenet_resnet18" if cached else "tiny_reid"
        why = "its weights are cached" if cached else "it ships with the package; torchvision's resnet18 is not cached"
    if get_config(name).task != "reid":
        raise TypeError(f"'{name}' is a model for task {get_config(name).task}, not of re-identification")
    of_classifier = config_name(name).startswith("reid_imagenet_")
    with warnings.catch_warnings():
        if of_classifier:
            warnings.simplefilter("ignore")  # untrained until the backbone is filled
        model = load(name, None if of_classifier else checkpoint, device, fuse=not of_classifier)
    assert isinstance(model, ReID)
    if of_classifier:
        load_backbone(model.backbone, checkpoint or f"torchvision://{name.rsplit('_', 1)[1]}")
        fuse_conv_norm(model)
    return model, name, why


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
