"""Multi-object tracking by detection: the tracker's interface, and any detector with any tracker as one model."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..sequence import SequenceModel
from ..structures import Frame, Instances, Video
from .trace import Trace
from .track_arrays import no_tracks
from .track_region import Region, Shapes


@dataclass(slots=True)
class TrackerState:
    """What a tracker remembers between updates; trackers add their tracks. Size does not grow with the video."""

    next_id: int = 1
    updates: int = 0  # updates seen so far
    trace: Trace | None = None  # where there is one, updates record their decisions in it


class Tracker(ABC):
    """Gives detections their identity. Sees detections (and, where it says so, the frame), never the model.

    A tracker holds settings only; everything it remembers is in the state.
    """

    @abstractmethod
    def init_state(self) -> Any:
        """The state before the first frame."""

    @abstractmethod
    def update(self, detections: Instances, state: Any, *, frame: Frame | None = None, dt: float = 1.0) -> Instances:
        """Take in the detections of the next frame and report its tracks.

        The report has `ids`, `states` (TrackState), `boxes` (filtered, float32 on the CPU), `scores` and `labels` of
        the detection, `detection_boxes` and `detection_indices` (rows of `detections`). Detections without scores
        count as certain; boxes of no area are ignored.

        Args:
            detections: of any length, boxes xyxy.
            state: of this tracker, changed in place.
            frame: the picture, for trackers that look at it.
            dt: time since the last update in units of one frame interval; 0 for a repeated frame.

        Raises:
            ValueError: boxes that are not finite or inverted, scores that are NaN, a negative or infinite `dt`.
        """

    @abstractmethod
    def alive(self, state: Any) -> Instances:
        """All tracks remembered after the last update, tentative and lost ones too: boxes, ids, labels, states."""

    def warp(self, state: Any, warp: NDArray[np.float64]) -> None:
        """Move all tracks along with the camera, before the update with the frame after its motion.

        Args:
            state: of this tracker, changed in place.
            warp: (2, 3) affine; a point (x, y) of the previous frame is at warp @ (x, y, 1) in the next one.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how its tracks move with the camera")


def check_dt(dt: float) -> float:
    """`dt` itself when it is a time step.

    Raises:
        ValueError: negative, infinite or NaN.
    """
    if not 0.0 <= dt < math.inf:
        raise ValueError(f"dt: expected a finite time step of at least 0, got {dt}")
    return dt


class Embedder(Protocol):
    """Appearance of detections, such as a re-identification network."""

    def embed(self, frames: Sequence[Frame], detections: Sequence[Instances]) -> list[Tensor]:
        """One (N, D) tensor per frame."""
        ...


class GivenDetections(SequenceModel):
    """A detector that returns what came with the frame: public detections, detections from files.

    Frames without detections have none; a gap in a det.txt is an empty frame.
    """

    def __init__(self, score_threshold: float | None = None) -> None:
        super().__init__()
        self.score_threshold = score_threshold

    def step(self, frame: Frame, state: Any) -> Instances:
        found = frame.detections
        if found is None:
            return Instances.empty()
        if self.score_threshold is not None and found.scores is not None:
            found = found[found.scores >= self.score_threshold]
        return found


@dataclass(slots=True)
class TrackingState:
    """State of `TrackByDetection`: the detector's, the tracker's, frames that wait for the detector, the time."""

    detector: Any
    tracker: Any
    waiting: list[Frame]
    time: float | None = None


class TrackByDetection(SequenceModel):
    """SORT, DeepSORT, ByteTrack ...: any sequence model as the detector, with any tracker.

    Args:
        detector: gives the detections; a frame lags by its `lookahead`.
        tracker: gives them identities.
        reid: adds `embeddings` to the detections before the tracker sees them.
        labels: the classes to track; all where None.
        region: only detections whose centre is inside are tracked.
        shapes: only tracks whose box has such a shape are reported.
        frame_rate: where given, the tracker's time step is the time between the frames in units of
            1 / frame_rate seconds; otherwise every frame is one step.
    """

    def __init__(
        self,
        detector: SequenceModel,
        tracker: Tracker,
        reid: Embedder | None = None,
        labels: Sequence[int] | None = None,
        region: Region | None = None,
        shapes: Shapes | None = None,
        frame_rate: float | None = None,
    ) -> None:
        super().__init__()
        self.detector, self.tracker = detector, tracker
        self.reid = reid
        self.labels = None if labels is None else tuple(labels)
        self.region, self.shapes, self.frame_rate = region, shapes, frame_rate

    @property
    def lookahead(self) -> int:  # type: ignore[override]
        return self.detector.lookahead

    def init_state(self, video: Video | None = None) -> TrackingState:
        return TrackingState(self.detector.init_state(video), self.tracker.init_state(), [])

    def step(self, frame: Frame, state: TrackingState) -> Instances | None:
        return self.step_batch([frame], [state])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[TrackingState]) -> list[Instances | None]:
        found = self.detector.step_batch(frames, [state.detector for state in states])
        for frame, state in zip(frames, states, strict=True):
            state.waiting.append(frame)
        ready = [k for k, detections in enumerate(found) if detections is not None]
        results = self._track(
            [states[k].waiting.pop(0) for k in ready],
            [detections for detections in found if detections is not None],
            [states[k] for k in ready],
        )
        out: list[Instances | None] = [None] * len(frames)
        for k, tracks in zip(ready, results, strict=True):
            out[k] = tracks
        return out

    def finish(self, state: TrackingState) -> list[Instances]:
        rest = self.detector.finish(state.detector)
        out = [self._track([frame], [found], [state])[0] for frame, found in zip(state.waiting, rest, strict=True)]
        state.waiting.clear()
        return out

    def _track(self, frames: list[Frame], found: list[Instances], states: list[TrackingState]) -> list[Instances]:
        """The tracks of each frame, given its detections."""
        chosen = [self._choose(detections) for detections in found]
        found = [detections if rows is None else detections[rows] for detections, rows in zip(found, chosen)]
        if self.reid is not None and frames:
            embeddings = self.reid.embed(frames, found)
            found = [detections.replace(embeddings=e) for detections, e in zip(found, embeddings, strict=True)]
        out = []
        for frame, detections, rows, state in zip(frames, found, chosen, states):
            tracks = self.tracker.update(detections, state.tracker, frame=frame, dt=self._dt(frame, state))
            if self.shapes is not None:
                tracks = tracks[self.shapes.accepts(tracks.boxes)]
            out.append(restore_indices(tracks, rows))
        return out

    def _choose(self, detections: Instances) -> Tensor | None:
        """The rows to track, None for all."""
        if self.labels is None and self.region is None:
            return None
        chosen = torch.ones(len(detections), dtype=torch.bool)
        if self.labels is not None and detections.labels is not None:
            chosen &= torch.isin(detections.labels.cpu(), torch.tensor(self.labels, dtype=torch.int64))
        if self.region is not None:
            boxes = detections.boxes.detach().cpu().numpy()
            chosen &= torch.from_numpy(self.region.contains((boxes[:, :2] + boxes[:, 2:]) / 2))
        return chosen.nonzero()[:, 0].to(detections.boxes.device)

    def _dt(self, frame: Frame, state: TrackingState) -> float:
        before, state.time = state.time, frame.time
        if self.frame_rate is None or before is None or frame.time is None:
            return 1.0
        if frame.time < before:
            raise ValueError(f"frame {frame.index}: time {frame.time} s is before the previous frame's {before} s")
        return (frame.time - before) * self.frame_rate


def rows_of_labels(detections: Instances, labels: Sequence[int] | None) -> Tensor | None:
    """The rows (K,) of detections of these labels, None for all."""
    if labels is None or detections.labels is None:
        return None
    wanted = torch.tensor(labels, dtype=torch.int64, device=detections.labels.device)
    return torch.isin(detections.labels, wanted).nonzero()[:, 0]


def restore_indices(tracks: Instances, rows: Tensor | None) -> Instances:
    """`tracks` with detection indices that count in the detections from which `rows` were chosen."""
    if rows is None or tracks.detection_indices is None:
        return tracks
    indices = tracks.detection_indices
    seen = indices >= 0
    restored = indices.clone()
    restored[seen] = rows.cpu()[indices[seen]]
    return tracks.replace(detection_indices=restored)


@dataclass(slots=True)
class PerClassState(TrackerState):
    """One state of the inner tracker per label seen."""

    classes: dict[int, Any] | None = None


class PerClass(Tracker):
    """Any tracker, once per label: objects of different classes are never associated. Ids are unique over all."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def init_state(self) -> PerClassState:
        return PerClassState(classes={})

    def update(
        self, detections: Instances, state: PerClassState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        if detections.labels is None:
            raise ValueError("per-class tracking needs detections with labels")
        assert state.classes is not None
        state.updates += 1
        labels = detections.labels.cpu()
        parts = []
        for label in sorted({*labels.tolist(), *state.classes}):
            inner = state.classes.get(label)
            if inner is None:
                inner = state.classes[label] = self.tracker.init_state()
                inner.updates = state.updates - 1  # a class seen late is no new video
            rows = (labels == label).nonzero()[:, 0]
            inner.next_id = state.next_id
            inner.trace = None if state.trace is None else Trace()
            tracks = self.tracker.update(detections[rows.to(detections.boxes.device)], inner, frame=frame, dt=dt)
            state.next_id = inner.next_id
            if state.trace is not None:
                state.trace.extend(inner.trace, rows.numpy())
            parts.append(restore_indices(tracks, rows))
        return Instances.cat(parts) if parts else no_tracks()

    def warp(self, state: PerClassState, warp: NDArray[np.float64]) -> None:
        for inner in (state.classes or {}).values():
            self.tracker.warp(inner, warp)

    def alive(self, state: PerClassState) -> Instances:
        parts = [self.tracker.alive(inner) for inner in (state.classes or {}).values()]
        return Instances.cat(parts) if parts else self.tracker.alive(self.tracker.init_state())
