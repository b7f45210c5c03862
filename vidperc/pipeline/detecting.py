"""A video in, detections out: what `vidperc detect` calls."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..choose import DetectorSpec, choose_detector
from ..io import JsonWriter, Video, with_detections
from ..sequence import Precision
from ..structures import Frame, Instances
from .running import Progress, RunResult, Sink, open_pictures, run
from .synthetic import synthetic_clip


@dataclass
class DetectResult(RunResult):
    """What `detect` made, and how long it took."""

    objects: int = 0

    @property
    def video(self) -> Path:
        """The annotated video."""
        return self.out / "detections.mp4"

    @property
    def json(self) -> Path:
        """Boxes, labels and scores of each frame, with times and class names."""
        return self.out / "detections.json"


def detect(
    source: Any = None,
    out: str | Path = "out",
    *,
    model: DetectorSpec = "auto",
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    classes: Sequence[str] | None = None,
    min_score: float = 0.3,
    options: dict[str, Any] | None = None,
    max_frames: int | None = None,
    annotate: bool = True,
    save_frames: bool = False,
    show: bool = False,
    progress: Progress | None = None,
) -> DetectResult:
    """Detect the objects of a video; write `detections.json` and an annotated `detections.mp4`.

    Args:
        source: anything `vidperc.Video` takes; None makes a short synthetic clip.
        model: a detector of images or of video, see `choose_detector`.
        checkpoint, device, precision: of the detector.
        classes: only these.
        min_score: of what is written and drawn.
        options: arguments of the model to change, as `vidperc.load` takes them.
        max_frames, annotate, save_frames, show, progress: as for `track`, and so are Ctrl-C and the errors.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    video = Video(synthetic_clip(out)[0] if source is None else source)
    choice = choose_detector(model, checkpoint=checkpoint, device=device, precision=precision, **(options or {}))
    if choice.detections is not None:
        video = with_detections(video, choice.detections)
    labels = choice.labels(classes)
    result = DetectResult(out, choice.reason)
    with ExitStack() as stack:
        json = stack.enter_context(JsonWriter(result.json, video.name, video.fps, video.size, choice.classes))

        def rows(frame: Frame, found: Instances) -> None:
            json.write(frame.index, found, frame.time)
            result.objects += len(found)

        pictures = open_pictures(stack, video, result.video, choice.classes, annotate, save_frames, show)
        kept = [_keeping(sink, labels, min_score) for sink in [rows, *pictures]]
        try:
            run(choice.detector.eval().stream_frames(video), video, kept, result, max_frames, progress)
        except KeyboardInterrupt:
            result.interrupted = True
    return result


def _keeping(sink: Sink, labels: list[int] | None, min_score: float) -> Sink:
    """A sink that sees only the objects of these labels with such a score."""

    def filtered(frame: Frame, found: Instances) -> None:
        kept = torch.ones(len(found), dtype=torch.bool, device=found.boxes.device)
        if found.scores is not None:
            kept &= found.scores >= min_score
        if labels is not None and found.labels is not None:
            kept &= torch.isin(found.labels, torch.tensor(labels, device=found.labels.device))
        sink(frame, found[kept])

    return filtered
