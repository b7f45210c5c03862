"""A video in, tracks or detections out: what `vidperc.track`, `vidperc.pipeline.detect` and the demos call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fiddle as fdl
import numpy as np
import torch

from .choose import Choice, DetectorSpec, choose_detector, choose_reid, choose_two_stage
from .data.synthetic import SyntheticVideo
from .evaluation import MOTScores, evaluate_mot, read_tracks
from .image.two_stage import RCNN
from .io import ImageWriter, JsonWriter, MotWriter, Video, VideoWriter, with_detections
from .models import get_config, list_models
from .models import override as override_config
from .refine_files import refine_file
from .resume import Checkpoint, Checkpoints, Stream, read_checkpoint, replay
from .sequence import Precision, SequenceModel
from .structures import Frame, Instances
from .video.deep_sort import DeepSORT, EagerDeepSORT
from .video.reid import ReID
from .video.track_region import Region
from .video.tracking import PerClass, TrackByDetection, Tracker
from .video.tracktor_model import Tracktor
from .visualize import Trails, Window, draw

Progress = Callable[[int, "int | None"], None]  # frames done, frames in all
Sink = Callable[[Frame, Instances], None]


@dataclass
class TrackResult:
    """What `track` made, and how long it took."""

    out: Path
    detector: str  # one line: which and why
    frames: int = 0
    ids: set[int] = field(default_factory=set, repr=False)
    seconds: float = 0.0
    model_seconds: float = 0.0  # of these, in the detector and the tracker
    interrupted: bool = False
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
    if regresses(tracker) and detector in (None, "auto", "motion"):
        choice = choose_two_stage(checkpoint, device, precision)
    else:
        choice = choose_detector(
            detector or "auto", checkpoint=checkpoint, device=device, precision=precision, **(detector_options or {})
        )
    if choice.detections is not None:
        video = with_detections(video, choice.detections)
    appearance = None
    if reid is not None or needs_reid(tracker):
        appearance, why = choose_reid(reid or "auto", checkpoint=reid_checkpoint, device=device)
        choice.reason += f"\n{why}"
    model = tracking_model(
        tracker, choice, appearance, _labels(classes, choice.classes), per_class, region, tracker_options or {}
    )
    model.precision = precision
    result = TrackResult(out, choice.reason)
    settings = {
        "video": video.name,
        "detector": choice.reason,
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
        pictures = _open_pictures(stack, video, result, choice.classes, annotate, save_frames, show)
        try:
            if begun is not None:
                result.resumed, result.ids = replay(video, result.json, pictures)
                result.frames = result.resumed
            stream = Stream(model, video, begun)
            sinks = [_to_both(text, json), *pictures]
            if checkpoint_every is not None:
                sinks.append(Checkpoints(result.checkpoint, checkpoint_every, settings, stream, text, json))
            _run(stream, video, sinks, result, max_frames, progress)
        except KeyboardInterrupt:
            result.interrupted = True
    if refinement is not None and result.frames:
        result.text.replace(raw)
        refine_file(raw, result.text, refinement)
    if ground_truth is not None and result.frames:
        result.scores = score(ground_truth, result, ground_truth_scale)
    return result


@dataclass
class DetectResult:
    """What `detect` made, and how long it took."""

    out: Path
    detector: str  # one line: which and why
    frames: int = 0
    objects: int = 0
    seconds: float = 0.0
    model_seconds: float = 0.0  # of these, in decoding and the detector
    interrupted: bool = False

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
    labels = _labels(classes, choice.classes)
    result = DetectResult(out, choice.reason)
    with ExitStack() as stack:
        json = stack.enter_context(JsonWriter(result.json, video.name, video.fps, video.size, choice.classes))

        def rows(frame: Frame, found: Instances) -> None:
            json.write(frame.index, found, frame.time)
            result.objects += len(found)

        pictures = _open_pictures(stack, video, result, choice.classes, annotate, save_frames, show)
        kept = [_keeping(sink, labels, min_score) for sink in [rows, *pictures]]
        try:
            _run(choice.detector.eval().stream_frames(video), video, kept, result, max_frames, progress)
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


def _run(
    predictions: Iterable[tuple[Frame, Instances]],
    video: Video,
    sinks: list[Sink],
    result: TrackResult | DetectResult,
    max_frames: int | None,
    progress: Progress | None,
) -> None:
    if max_frames is not None and result.frames >= max_frames:  # before the kill
        return
    started = time.perf_counter()
    for frame, tracks in _timed(iter(predictions), result):
        for sink in sinks:
            sink(frame, tracks)
        if tracks.ids is not None and isinstance(result, TrackResult):
            result.ids.update(tracks.ids.tolist())
        result.frames += 1
        result.seconds = time.perf_counter() - started
        if progress is not None:
            progress(result.frames, video.length)
        if result.frames == max_frames:
            break


def _timed(
    frames: Iterator[tuple[Frame, Instances]], result: TrackResult | DetectResult
) -> Iterator[tuple[Frame, Instances]]:
    """The same, with the time spent in getting them added to the result: decoding waits, detector, tracker."""
    while True:
        started = time.perf_counter()
        item = next(frames, None)
        result.model_seconds += time.perf_counter() - started
        if item is None:
            return
        yield item


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


def _open_pictures(
    stack: ExitStack,
    video: Video,
    result: TrackResult | DetectResult,
    classes: tuple[str, ...],
    annotate: bool,
    save_frames: bool,
    show: bool,
) -> list[Sink]:
    """What draws every frame into a video, pictures and a window, opened on the stack; nothing where none is asked."""
    writers: list[VideoWriter | ImageWriter] = []
    if annotate:
        writers.append(stack.enter_context(VideoWriter(result.video, video.fps)))
    if save_frames:
        writers.append(stack.enter_context(ImageWriter(result.out / "frames")))
    window = stack.enter_context(Window(video.name)) if show else None
    trails = Trails() if isinstance(result, TrackResult) else None

    def pictures(frame: Frame, objects: Instances) -> None:
        picture = draw(frame, objects, classes=classes, trails=trails)
        for writer in writers:
            writer.write(picture, frame.time)
        if window is not None and not window.show(picture):
            raise KeyboardInterrupt

    return [pictures] if writers or window else []


def tracking_model(
    tracker: str | Tracker,
    choice: Choice,
    reid: ReID | None,
    labels: Sequence[int] | None,
    per_class: bool,
    region: Sequence[tuple[float, float]] | None,
    options: dict[str, Any],
) -> SequenceModel:
    """The detector with the tracker, whichever way they go together.

    Raises:
        TypeError: Tracktor with a detector of one stage.
        ValueError: a region or classes kept apart, which Tracktor does not take.
    """
    if not regresses(tracker):
        built = make_tracker(tracker, **options)
        return TrackByDetection(
            choice.detector,
            PerClass(built) if per_class else built,
            reid=reid,
            labels=labels,
            region=None if region is None else Region(region),
        ).eval()
    if per_class or region is not None:
        raise ValueError(f"'{tracker}' keeps classes apart by itself and takes no region")
    if not isinstance(choice.detector, RCNN):
        raise TypeError(
            f"'{tracker}' moves boxes by a second stage, and {type(choice.detector).__name__} has none: give "
            "a two-stage model, as --detector faster_rcnn_r50_fpn_1x_coco --checkpoint FILE"
        )
    config = get_config(str(tracker)).model
    for key, value in options.items():
        override_config(config.tracker, key, value)
    camera = None if config.camera is None else fdl.build(config.camera)
    return Tracktor(
        detector=choice.detector, tracker=fdl.build(config.tracker), reid=reid, camera=camera, labels=labels
    ).eval()


def regresses(tracker: str | Tracker) -> bool:
    """Whether a tracker by name is Tracktor, which needs the detector in the middle of an update."""
    if isinstance(tracker, Tracker):
        return False
    kind = fdl.get_callable(get_config(tracker).model)
    return isinstance(kind, type) and issubclass(kind, Tracktor)


def needs_reid(tracker: str | Tracker) -> bool:
    """Whether a tracker does not work without embeddings."""
    if isinstance(tracker, Tracker):
        return isinstance(tracker, DeepSORT | EagerDeepSORT)
    config = get_config(tracker).model
    return hasattr(config, "tracker") and fdl.get_callable(config.tracker) in (DeepSORT, EagerDeepSORT)


def make_tracker(tracker: str | Tracker, **options: Any) -> Tracker:
    """A tracker by the name of a config in configs/mot, with arguments changed; or one as it is.

    Raises:
        KeyError: an unknown name. TypeError: a config without a tracker of its own.
    """
    if isinstance(tracker, Tracker):
        return tracker
    config = get_config(tracker).model
    if not hasattr(config, "tracker"):
        raise TypeError(f"'{tracker}' is not a tracker for any detector; load it with vidperc.load")
    for key, value in options.items():
        override_config(config.tracker, key, value)
    built: Tracker = fdl.build(config.tracker)
    return built


def tracker_names() -> list[str]:
    """The trackers that `track` takes by name."""
    return [name for name in list_models("mot") if hasattr(get_config(name).model, "tracker")]


def _labels(classes: Sequence[str] | None, known: tuple[str, ...]) -> list[int] | None:
    """The labels of class names.

    Raises:
        ValueError: a class that the detector does not have.
    """
    if classes is None:
        return None
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise ValueError(f"the detector has no class {', '.join(unknown)}; it has {', '.join(known) or 'no names'}")
    return [known.index(name) for name in classes]


def synthetic_clip(
    out: Path, seed: int = 4, length: int = 150, size: tuple[int, int] = (360, 640)
) -> tuple[Path, Path]:
    """Write `out/input.mp4` and its ground truth `out/gt.txt`; return both paths."""
    video, truth = out / "input.mp4", out / "gt.txt"
    frames = SyntheticVideo(seed, length, size, "mot")
    with VideoWriter(video, frames.fps, crf=14) as writer, truth.open("w", encoding="utf-8") as file:
        for frame in frames.frames():
            writer.write(frame)
            file.writelines(_truth_rows(frame))
    return video, truth


def _truth_rows(frame: Frame) -> Iterator[str]:
    """MOTChallenge rows of a frame's ground truth; objects hardly seen are marked as not to be scored."""
    objects = frame.instances
    assert objects is not None and objects.ids is not None and objects.visibilities is not None
    ignored = objects.ignored if objects.ignored is not None else torch.zeros(len(objects), dtype=torch.bool)
    for box, i, seen, ignore in zip(
        objects.boxes.tolist(), objects.ids.tolist(), objects.visibilities.tolist(), ignored.tolist(), strict=True
    ):
        x1, y1, x2, y2 = box
        box_text = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
        yield f"{frame.index + 1},{i + 1},{box_text},{int(not ignore)},1,{seen:.3f}\n"


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
