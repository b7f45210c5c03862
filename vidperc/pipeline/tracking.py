"""A video in, tracks out: what `vidperc.track` and the demo call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..choose import Choice, DetectorSpec, choose_detector, choose_reid, choose_two_stage
from ..evaluation import MOTScores, evaluate_mot, read_tracks
from ..io import JsonWriter, MotWriter, Video, with_detections
from ..refine_files import refine_file
from ..resume import Checkpoint, Checkpoints, Stream, read_checkpoint, replay
from ..sequence import Precision
from ..structures import Frame, Instances
from ..video.tracking import Tracker
from ..visualize import Trails
from .running import Progress, RunResult, Sink, open_pictures, run
from .synthetic import synthetic_clip
from .trackers import needs_reid, regresses, tracking_model


@dataclass
class TrackResult(RunResult):
    """What `track` made, and how long it took."""

    ids: set[int] = field(default_factory=set, repr=False)
    resumed: int = 0  # frames tracked before by the run that this one goes on with
    scores: MOTScores | None = None

    @property
    def video(self) -> Path:
        """The annotated video."""
        return self.out / "tracks.mp4"

    @property
    def text(self) -> Path:
        """MOTChallenge rows."""
        return self.out / "tracks.txt"

    @property
    def json(self) -> Path:
        """The same as json, with times and class names."""
        return self.out / "tracks.json"

    @property
    def checkpoint(self) -> Path:
        """Where a killed run goes on, if it wrote checkpoints."""
        return self.out / "checkpoint.npz"


def track(
    source: Any = None,
    out: str | Path = "out",
    *,
    detector: DetectorSpec | None = None,
    tracker: str | Tracker = "sort",
    reid: str | None = None,
    reid_checkpoint: str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    classes: Sequence[str] | None = None,
    per_class: bool = False,
    region: Sequence[tuple[float, float]] | None = None,
    refinement: str | None = None,
    ground_truth: str | Path | np.ndarray | None = None,
    ground_truth_scale: float = 1.0,
    detector_options: dict[str, Any] | None = None,
    tracker_options: dict[str, Any] | None = None,
    max_frames: int | None = None,
    annotate: bool = True,
    save_frames: bool = False,
    show: bool = False,
    checkpoint_every: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrackResult:
    """Track the objects of a video; write `tracks.txt`, `tracks.json` and an annotated `tracks.mp4`.

    Args:
        source: anything `vidperc.Video` takes; None makes a short synthetic clip with its ground truth.
        out: folder of the results.
        detector: see `choose_detector`; by default "auto", "motion" for the synthetic clip, and the
            detections that come with the frames where they do.
        tracker: the name of a tracker's config ("sort", "bytetrack", "ocsort", ...), or a tracker.
        reid: an appearance network for the tracker, see `choose_reid`; by default "auto" for DeepSORT, none for others.
        reid_checkpoint: of that network.
        checkpoint, device, precision: of the detector.
        classes: track only these.
        per_class: never take objects of two classes for one.
        region: corners of a polygon in pixels; only detections whose centre is inside are tracked.
        refinement: "linear", "gaussian" or "kalman" fills gaps or smooths when all is tracked, see `refine_file`; the
            raw tracks stay in `tracks_raw.txt`, video and json show them.
        ground_truth: a file of MOTChallenge rows (or such an array) to score the tracks with.
        ground_truth_scale: factor of its boxes, for a video of another size than the annotated one.
        detector_options, tracker_options: arguments to change, as `vidperc.load` takes them.
        max_frames: stop after this many.
        annotate: write the annotated video.
        save_frames: write the annotated pictures too, in `out/frames`.
        show: show them in a window while tracking; `q` stops.
        checkpoint_every: save every so many frames what is needed to go on, in `out/checkpoint.npz`.
        resume: go on from there, where there is one; rows after it are dropped, the annotated video is drawn anew.
        progress: called after every frame.

    Ctrl-C ends the run early: what is written until then is kept and valid, and `interrupted` is set.

    Raises:
        FileNotFoundError, VideoError: the source. KeyError: an unknown detector or tracker.
        ResultError: results that cannot be written. ValueError: a checkpoint of another run. TypeError: a model
        whose state cannot be saved, where checkpoints are asked for.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if source is None:
        source, ground_truth = synthetic_clip(out)
        detector = detector or "motion"
    video = Video(source)
    if resume and video.is_live:
        raise ValueError(f"{video.name} is live: a run on it cannot be resumed")
    choice = _choose(tracker, detector, checkpoint, device, precision, detector_options or {})
    if choice.detections is not None:
        video = with_detections(video, choice.detections)
    appearance, appearance_name, chosen = None, "none", choice.reason
    if reid is not None or needs_reid(tracker):
        appearance, appearance_name, why = choose_reid(reid or "auto", checkpoint=reid_checkpoint, device=device)
        chosen += f"\nappearance: {appearance_name}, {why}"
    model = tracking_model(
        tracker, choice, appearance, choice.labels(classes), per_class, region, tracker_options or {}
    )
    model.precision = precision
    result = TrackResult(out, chosen)
    settings = {
        "video": video.name,
        "detector": f"{choice.name} {choice.detections or checkpoint or ''} {precision}",
        "appearance": f"{appearance_name} {reid_checkpoint or ''}",
        "tracker": tracker if isinstance(tracker, str) else type(tracker).__name__,
        "classes": f"{classes} {per_class} {region}",
        "options": f"{detector_options or {}} {tracker_options or {}}",
    }
    raw = result.text.with_name("tracks_raw.txt")
    if resume and raw.is_file():  # that run got as far as its refinement
        raw.replace(result.text)
    raw.unlink(missing_ok=True)
    begun = read_checkpoint(result.checkpoint, settings) if resume else None
    if begun is None:
        result.checkpoint.unlink(missing_ok=True)  # that of another run would not fit the rows of this one
    with ExitStack() as stack:
        text, json = _open_rows(stack, video, result, choice.classes, begun)
        pictures = open_pictures(stack, video, result.video, choice.classes, annotate, save_frames, show, Trails())
        try:
            if begun is not None:
                result.resumed, result.ids = replay(video, result.json, pictures)
                result.frames = result.resumed
            stream = Stream(model, video, begun)
            sinks = [_to_both(text, json), *pictures]
            if checkpoint_every is not None:
                sinks.append(Checkpoints(result.checkpoint, checkpoint_every, settings, stream, text, json))
            sinks.append(_collect(result.ids))
            run(stream, video, sinks, result, max_frames, progress)
        except KeyboardInterrupt:
            result.interrupted = True
    if refinement is not None and result.frames:
        result.text.replace(raw)
        refine_file(raw, result.text, refinement)
    if ground_truth is not None and result.frames:
        result.scores = score(ground_truth, result, ground_truth_scale)
    return result


def _choose(
    tracker: str | Tracker,
    detector: DetectorSpec | None,
    checkpoint: str | Path | None,
    device: str | torch.device,
    precision: Precision,
    options: dict[str, Any],
) -> Choice:
    """The detector that is asked for, or the best at hand that the tracker can work with."""
    if regresses(tracker) and detector in (None, "auto", "motion"):
        return choose_two_stage(checkpoint, device, precision)
    return choose_detector(detector or "auto", checkpoint=checkpoint, device=device, precision=precision, **options)


def _open_rows(
    stack: ExitStack, video: Video, result: TrackResult, classes: tuple[str, ...], begun: Checkpoint | None
) -> tuple[MotWriter, JsonWriter]:
    """The files of tracks, opened on the stack; those of a run that goes on, cut where it stopped."""
    text = MotWriter(result.text, None if begun is None else begun.text)
    kept = None if begun is None else begun.json
    json = JsonWriter(result.json, video.name, video.fps, video.size, classes, kept)
    return stack.enter_context(text), stack.enter_context(json)


def _to_both(text: MotWriter, json: JsonWriter) -> Sink:
    """Every frame's rows to both files."""

    def rows(frame: Frame, tracks: Instances) -> None:
        text.write(frame.index, tracks, frame.time)
        json.write(frame.index, tracks, frame.time)

    return rows


def _collect(ids: set[int]) -> Sink:
    """Every frame's ids to a set."""

    def collect(frame: Frame, tracks: Instances) -> None:
        if tracks.ids is not None:
            ids.update(tracks.ids.tolist())

    return collect


def score(ground_truth: str | Path | np.ndarray, result: TrackResult, scale: float = 1.0) -> MOTScores:
    """The scores of the tracks over the frames that were tracked; also written to `scores.json`."""
    source = ground_truth if isinstance(ground_truth, np.ndarray) else Path(ground_truth)
    truth = next(iter(read_tracks(source, truth=True).values()))
    truth = truth[truth.frames < result.frames]
    truth.boxes, truth.length = truth.boxes * scale, result.frames
    tracks = next(iter(read_tracks(result.text, truth=False).values()))
    scores = evaluate_mot({"video": truth}, {"video": tracks})
    scores.to_json(result.out / "scores.json")
    return scores
