"""Tracktor: tracking without bells and whistles (Bergmann et al. 2019, https://arxiv.org/abs/1903.05625).

The second stage of a two-stage detector moves last frame's boxes onto this frame's objects. Numbers are the paper's,
as MMTracking publishes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import batched_nms

from ..structures import Instances, TrackState
from .association import Floats, Ints, assign_most, iou_matrix
from .camera_motion import warp_boxes
from .deep_sort import euclidean
from .galleries import Galleries
from .track_arrays import DetectionArrays, describe, join_rows
from .tracking import TrackerState, check_dt


class FrameNetworks(Protocol):
    """What Tracktor asks of the networks, about one frame."""

    def regress(self, boxes: Floats, labels: Ints) -> tuple[NDArray, NDArray]:
        """Boxes (N, 4) in pixels of the frame, refined by the detector's second stage, and their scores (N,)."""
        ...

    def embed(self, boxes: Floats) -> NDArray | None:
        """The appearances (N, D) of boxes, None where there is no re-identification network."""
        ...


@dataclass(slots=True)
class TracktorTracks:
    """N tracks as arrays."""

    ids: Ints  # (N,)
    labels: Ints  # (N,)
    scores: Floats  # (N,)
    silent: Floats  # (N,) time since the track was last active
    boxes: Floats  # (N, 4) last box, moved along with camera and motion
    before: Floats  # (N, 4) the box before the last; NaN where the track was not active then
    velocity: Floats  # (N, 2) of the centre per unit of time
    slots: Ints  # (N,) of the galleries

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True)
class TracktorTrackerState(TrackerState):
    """Tracks of Tracktor, their appearances, and the time between the last two updates."""

    dt: float = 1.0
    galleries: Galleries = field(default_factory=lambda: Galleries.empty(1))
    tracks: TracktorTracks = field(default_factory=lambda: _start(DetectionArrays.none(), 0, np.zeros(0, np.int64)))


class TracktorTracker:
    """The tracks of Tracktor; not a `Tracker`, as it needs the detector in the middle of an update.

    Args:
        score_threshold: a detection must be scored above to start a track.
        regression_threshold: a track must be scored above, at its regressed box, to stay active.
        nms_threshold: of tracks that overlap more than this, the best scored stays active.
        new_threshold: a detection is new where it overlaps active tracks less than this.
        max_distance: greatest distance to the mean appearance of a lost track to revive it.
        revival_overlap: least overlap with a lost track's box to revive it.
        budget: appearances in the mean.
        max_age: time after which a lost track is ended.
        linear_motion: lost and active tracks are moved on with their last velocity before they are regressed.
    """

    def __init__(
        self,
        score_threshold: float = 0.5,
        regression_threshold: float = 0.5,
        nms_threshold: float = 0.6,
        new_threshold: float = 0.3,
        max_distance: float = 2.0,
        revival_overlap: float = 0.2,
        budget: int = 10,
        max_age: float = 9,
        linear_motion: bool = False,
    ) -> None:
        self.score_threshold, self.regression_threshold = score_threshold, regression_threshold
        self.nms_threshold, self.new_threshold = nms_threshold, new_threshold
        self.max_distance, self.revival_overlap, self.budget = max_distance, revival_overlap, budget
        self.max_age, self.linear_motion = max_age, linear_motion

    def init_state(self) -> TracktorTrackerState:
        return TracktorTrackerState(galleries=Galleries.empty(self.budget))

    def update(
        self,
        detections: Instances,
        state: TracktorTrackerState,
        networks: FrameNetworks,
        *,
        dt: float = 1.0,
    ) -> Instances:
        """Take in the next frame.

        Args:
            detections: of the frame.
            state: changed in place.
            networks: answer about this frame.
            dt: time since the last update in frame intervals.

        Raises:
            ValueError: as `Tracker.update`; appearances that are not of the size of those before.
        """
        found = DetectionArrays.read(detections, state.updates)
        found = found.take((found.scores > self.score_threshold).nonzero()[0])
        tracks = state.tracks
        self._move(tracks, state.dt, check_dt(dt))
        active = self._regress(tracks, networks, dt)
        overlap = iou_matrix(tracks.boxes.take(active, 0), found.boxes)
        found = found.take((overlap.max(0, initial=0.0) < self.new_threshold).nonzero()[0])
        looks = self._look(found.boxes, state, networks)
        rows, columns = self._revive(tracks, active, found, looks, state.galleries)
        if len(active):
            self._remember(tracks.slots.take(active), self._look(tracks.boxes.take(active, 0), state, networks), state)
        self._remember(tracks.slots.take(rows), None if looks is None else looks.take(columns, 0), state)
        fresh = self._start(state, found, columns, looks)
        out = _report(tracks, active, rows, columns, found, fresh)
        kept = tracks.silent <= self.max_age
        if np.count_nonzero(kept) < len(kept):
            state.galleries.release(tracks.slots[~kept])
        state.tracks = join_rows(tracks, kept.nonzero()[0], fresh)
        state.updates, state.dt = state.updates + 1, dt
        return out

    def alive(self, state: TracktorTrackerState) -> Instances:
        """All tracks remembered after the last update, lost ones too."""
        tracks = state.tracks
        return describe(tracks.ids, tracks.labels, tracks.boxes, np.ones(len(tracks), bool), tracks.silent > 0.0)

    def warp(self, state: TracktorTrackerState, warp: Floats) -> None:
        """Move all tracks along with the camera, as `Tracker.warp`."""
        tracks = state.tracks
        tracks.boxes, tracks.before = warp_boxes(tracks.boxes, warp), warp_boxes(tracks.before, warp)
        tracks.velocity = tracks.velocity @ warp[:, :2].T

    def _move(self, tracks: TracktorTracks, last_dt: float, dt: float) -> None:
        """Boxes to where objects have moved since the last frame."""
        active = (tracks.silent == 0.0)[:, None]
        if self.linear_motion:
            shift = _centres(tracks.boxes) - _centres(tracks.before)
            known = active & ~np.isnan(shift) & (last_dt > 0.0)
            tracks.velocity = np.where(known, shift / max(last_dt, 1e-9), tracks.velocity)
        tracks.before = np.where(active, tracks.boxes, np.nan)
        if self.linear_motion:
            tracks.boxes = tracks.boxes + np.tile(tracks.velocity * dt, 2)

    def _regress(self, tracks: TracktorTracks, networks: FrameNetworks, dt: float) -> Ints:
        """Active tracks onto their objects; the rows that stay active."""
        rows = (tracks.silent == 0.0).nonzero()[0]
        tracks.silent = tracks.silent + dt
        if not len(rows):
            return rows
        boxes, scores = networks.regress(tracks.boxes.take(rows, 0), tracks.labels.take(rows))
        boxes, scores = np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
        kept = batched_nms(
            torch.from_numpy(boxes),
            torch.from_numpy(scores),
            torch.from_numpy(tracks.labels.take(rows)),
            self.nms_threshold,
        ).numpy()
        kept = np.sort(kept[scores[kept] > self.regression_threshold])
        rows = rows[kept]
        self._activate(tracks, rows, boxes[kept], scores[kept])
        return rows

    @staticmethod
    def _activate(tracks: TracktorTracks, rows: Ints, boxes: Floats, scores: Floats) -> None:
        tracks.boxes[rows] = boxes
        tracks.scores[rows] = scores
        tracks.silent[rows] = 0.0

    @staticmethod
    def _look(boxes: Floats, state: TracktorTrackerState, networks: FrameNetworks) -> Floats | None:
        """The appearances (N, D) of boxes, None where there is no network for them."""
        looks = networks.embed(boxes)
        return None if looks is None else state.galleries.check(np.asarray(looks, np.float64), state.updates)

    def _revive(
        self, tracks: TracktorTracks, active: Ints, found: DetectionArrays, looks: Floats | None, galleries: Galleries
    ) -> tuple[Ints, Ints]:
        """Lost tracks that detections look like and overlap: rows and columns."""
        lost = np.setdiff1d(np.arange(len(tracks)), active, assume_unique=True)
        if looks is None or not len(lost) or not len(found):
            return active[:0], active[:0]
        distance = euclidean(galleries.means(tracks.slots.take(lost)), looks)
        near = iou_matrix(tracks.boxes.take(lost, 0), found.boxes) >= self.revival_overlap
        r, c = assign_most(distance, near & np.isfinite(distance))
        accepted = distance[r, c] <= self.max_distance
        rows, columns = lost[r[accepted]], c[accepted]
        self._activate(tracks, rows, found.boxes.take(columns, 0), found.scores.take(columns))
        return rows, columns

    @staticmethod
    def _remember(slots: Ints, looks: Floats | None, state: TracktorTrackerState) -> None:
        if looks is not None and len(slots):
            state.galleries.write(slots, looks)

    @staticmethod
    def _start(
        state: TracktorTrackerState, found: DetectionArrays, columns: Ints, looks: Floats | None
    ) -> TracktorTracks:
        rest = np.setdiff1d(np.arange(len(found)), columns, assume_unique=True)
        slots = state.galleries.take_slots(len(rest))
        TracktorTracker._remember(slots, None if looks is None else looks.take(rest, 0), state)
        fresh = _start(found.take(rest), state.next_id, slots)
        state.next_id += len(rest)
        return fresh


def _report(
    tracks: TracktorTracks, active: Ints, rows: Ints, columns: Ints, found: DetectionArrays, fresh: TracktorTracks
) -> Instances:
    """Active, revived and new tracks; only the latter two have a detection."""
    rest = np.setdiff1d(np.arange(len(found)), columns, assume_unique=True)
    shown = join_rows(tracks, np.concatenate((active, rows)), fresh)
    sources = np.concatenate((columns, rest))
    count = len(active)
    boxes = np.full((len(shown), 4), np.nan)
    indices = np.full(len(shown), -1)
    boxes[count:], indices[count:] = found.boxes.take(sources, 0), found.indices.take(sources)
    return Instances(
        boxes=torch.from_numpy(shown.boxes.astype(np.float32)),
        labels=torch.from_numpy(shown.labels.copy()),
        scores=torch.from_numpy(shown.scores.astype(np.float32)),
        ids=torch.from_numpy(shown.ids.copy()),
        states=torch.full((len(shown),), int(TrackState.CONFIRMED)),
        detection_boxes=torch.from_numpy(boxes.astype(np.float32)),
        detection_indices=torch.from_numpy(indices),
    )


def _centres(boxes: Floats) -> Floats:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _start(found: DetectionArrays, first_id: int, slots: Ints) -> TracktorTracks:
    count = len(found)
    return TracktorTracks(
        ids=np.arange(first_id, first_id + count),
        labels=found.labels,
        scores=found.scores,
        silent=np.zeros(count),
        boxes=found.boxes,
        before=np.full((count, 4), np.nan),
        velocity=np.zeros((count, 2)),
        slots=slots,
    )
