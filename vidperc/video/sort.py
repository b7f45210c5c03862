"""SORT: Simple Online and Realtime Tracking (Bewley et al. 2016, https://arxiv.org/abs/1602.00763).

Numbers are the paper's. `EagerSORT` is the variant that MMTracking publishes under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..structures import Frame, Instances
from .association import Floats, Ints, Pairs, assign, iou_matrix, touching_pairs, unmatched
from .camera_motion import warp_boxes
from .kalman import AreaRatioFilter
from .trace import Limit, Trace, overlap_stage
from .track_arrays import DetectionArrays, at, describe, join_rows, report, take_rows
from .tracking import Tracker, TrackerState, check_dt

FILTER = AreaRatioFilter()


@dataclass(slots=True)
class SORTTracks:
    """N tracks as arrays."""

    ids: Ints  # (N,)
    labels: Ints  # (N,)
    streak: Ints  # (N,) updates in a row with a detection, not counting the one that started the track
    silent: Floats  # (N,) time since the last detection
    filter: Floats  # (N, 4, 5)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True)
class SORTState(TrackerState):
    """Tracks of SORT."""

    tracks: SORTTracks = field(default_factory=lambda: _start(DetectionArrays.none(), 0))


class SORT(Tracker):
    """SORT as in the paper.

    Args:
        max_age: time without a detection after which a track is ended (T_lost).
        min_hits: a track is reported once it has had this many detections after its first in a row, except in the
            first `min_hits` updates, when all are.
        iou_threshold: least overlap of a detection with the predicted box (IoU_min).
    """

    def __init__(self, max_age: float = 1, min_hits: int = 3, iou_threshold: float = 0.3) -> None:
        self.max_age, self.min_hits, self.iou_threshold = max_age, min_hits, iou_threshold

    def init_state(self) -> SORTState:
        return SORTState()

    def update(
        self, detections: Instances, state: SORTState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)
        tracks = self._predict(state.tracks, check_dt(dt))
        rows, columns = self._match(tracks, found, state.trace)
        self._update(tracks, rows, at(found.boxes, columns))
        state.updates += 1
        rest = unmatched(len(found), columns)
        fresh = _start(found.take(rest), state.next_id) if len(rest) else None
        state.next_id += len(rest)
        out = self._report(tracks, rows, columns, fresh, rest, found, state.updates)
        state.tracks = self._end(tracks, fresh)
        return out

    def alive(self, state: SORTState) -> Instances:
        tracks = state.tracks
        proven = tracks.streak >= self.min_hits
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), proven, tracks.silent > 0.0)

    def warp(self, state: SORTState, warp: Floats) -> None:
        state.tracks.filter = FILTER.warp(state.tracks.filter, warp)

    def _predict(self, tracks: SORTTracks, dt: float) -> SORTTracks:
        if not len(tracks):
            return tracks
        streak = np.where(tracks.silent > 0.0, 0, tracks.streak)
        return SORTTracks(tracks.ids, tracks.labels, streak, tracks.silent + dt, FILTER.predict(tracks.filter, dt))

    def _match(self, tracks: SORTTracks, found: DetectionArrays, trace: Trace | None) -> Pairs:
        """The assignment of greatest total overlap; pairs below the threshold are rejected afterwards (section 3.3)."""
        boxes = FILTER.boxes(tracks.filter)
        touching = touching_pairs(boxes, found.boxes)
        chosen = touching.choose(touching.overlap)
        chosen = chosen[touching.overlap.take(chosen) >= self.iou_threshold]
        pairs = touching.rows.take(chosen), touching.columns.take(chosen)
        if trace is not None:
            least, overlap = Limit("IoU", self.iou_threshold, "iou_threshold"), iou_matrix(boxes, found.boxes)
            trace.stages.append(
                overlap_stage("all tracks", tracks.ids, (), found.indices, overlap, least, pairs, gated_first=False)
            )
        return pairs

    def _update(self, tracks: SORTTracks, rows: Ints, boxes: Floats) -> None:
        if len(rows):
            tracks.filter.T[..., rows] = FILTER.update(at(tracks.filter, rows), boxes).T
            tracks.silent[rows] = 0.0
            tracks.streak[rows] += 1

    def _end(self, tracks: SORTTracks, fresh: SORTTracks | None) -> SORTTracks:
        kept = tracks.silent <= self.max_age
        rows = None if np.count_nonzero(kept) == len(kept) else kept.nonzero()[0]
        if fresh is not None:
            return join_rows(tracks, rows, fresh)
        return tracks if rows is None else take_rows(tracks, rows)

    def _report(
        self,
        tracks: SORTTracks,
        rows: Ints,
        columns: Ints,
        fresh: SORTTracks | None,
        rest: Ints,
        found: DetectionArrays,
        updates: int,
    ) -> Instances:
        """Tracks with a detection in this frame that have proven themselves, or all near the start of a video."""
        if updates > self.min_hits:
            proven = (tracks.streak.take(rows) >= self.min_hits).nonzero()[0]
            rows, columns = rows.take(proven), columns.take(proven)
        ids, states = tracks.ids.take(rows), at(tracks.filter, rows)
        if fresh is not None and (not self.min_hits or updates <= self.min_hits):
            ids, columns = np.concatenate((ids, fresh.ids)), np.concatenate((columns, rest))
            states = np.concatenate((states, fresh.filter))
        return report(ids, FILTER.boxes(states), found, columns)


def _start(found: DetectionArrays, first_id: int) -> SORTTracks:
    count = len(found)
    return SORTTracks(
        ids=np.arange(first_id, first_id + count),
        labels=found.labels,
        streak=np.zeros(count, np.int64),
        silent=np.zeros(count),
        filter=FILTER.initiate(found.boxes),
    )


@dataclass(slots=True)
class EagerTracks:
    """N tracks of `EagerSORT` as arrays."""

    ids: Ints  # (N,)
    labels: Ints  # (N,)
    hits: Ints  # (N,) detections so far
    boxes: Floats  # (N, 4) the last detection

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True)
class EagerSORTState(TrackerState):
    """The tracks seen in the last update."""

    tracks: EagerTracks = field(default_factory=lambda: _start_eager(DetectionArrays.none(), 0))


class EagerSORT(Tracker):
    """SORT as MMTracking does it: no motion, last boxes against new ones, every track reported from its first box.

    A track that misses one frame is gone. This one is for reproducing that zoo; `SORT` is the default, as it follows
    moving objects better and reports fewer false ones.

    Args:
        score_threshold: detections must be scored above.
        iou_threshold: least overlap of a detection with the track's last box.
        confirm: detections that confirm a track (only the state reported depends on it).
    """

    def __init__(self, score_threshold: float = 0.5, iou_threshold: float = 0.5, confirm: int = 3) -> None:
        self.score_threshold, self.iou_threshold, self.confirm = score_threshold, iou_threshold, confirm

    def init_state(self) -> EagerSORTState:
        return EagerSORTState()

    def update(
        self, detections: Instances, state: EagerSORTState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)
        check_dt(dt)
        found = found.take((found.scores > self.score_threshold).nonzero()[0])
        rows, columns = match_overlap(state.tracks.boxes, found.boxes, self.iou_threshold)
        if state.trace is not None:
            scores = (Limit("score", self.score_threshold, "score_threshold"),)
            state.trace.start = scores
            overlap = iou_matrix(state.tracks.boxes, found.boxes)
            least, pairs = Limit("IoU", self.iou_threshold, "iou_threshold"), (rows, columns)
            state.trace.stages.append(
                overlap_stage("all tracks", state.tracks.ids, scores, found.indices, overlap, least, pairs, False)
            )
        tracks = _start_eager(found, 0)
        tracks.ids[columns], tracks.hits[columns] = state.tracks.ids[rows], state.tracks.hits[rows] + 1
        rest = unmatched(len(found), columns)
        tracks.ids[rest] = np.arange(state.next_id, state.next_id + len(rest))
        state.next_id += len(rest)
        state.updates += 1
        state.tracks = tracks
        states = (tracks.hits >= self.confirm).astype(np.int64)
        return report(tracks.ids.copy(), tracks.boxes, found, np.arange(len(found)), states)

    def alive(self, state: EagerSORTState) -> Instances:
        tracks = state.tracks
        confirmed = tracks.hits >= self.confirm
        return describe(tracks.ids, tracks.labels, tracks.boxes, confirmed, np.zeros(len(tracks), bool))

    def warp(self, state: EagerSORTState, warp: Floats) -> None:
        state.tracks.boxes = warp_boxes(state.tracks.boxes, warp)


def match_overlap(boxes: Floats, others: Floats, threshold: float) -> Pairs:
    """The pairing of greatest total IoU, without the pairs that overlap by no more than `threshold`."""
    overlap = iou_matrix(boxes, others)
    rows, columns = assign(overlap, overlap > 0.0)
    accepted = overlap[rows, columns] > threshold
    return rows[accepted], columns[accepted]


def _start_eager(found: DetectionArrays, first_id: int) -> EagerTracks:
    ids = np.arange(first_id, first_id + len(found))
    return EagerTracks(ids, found.labels, np.ones(len(found), np.int64), found.boxes)
