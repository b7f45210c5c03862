"""BoT-SORT: robust associations (Aharon et al. 2022, https://arxiv.org/abs/2206.14651).

ByteTrack with a filter on width and height, compensation of the camera's motion and, where detections have
embeddings, their fusion with the overlaps. Numbers are those of the paper's MOT17 experiments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..structures import Frame, Instances
from .association import Bools, Floats, Ints, Pairs, assign, iou_matrix, unmatched
from .byte_track import find_duplicates, left, younger
from .camera_motion import CameraMotion, CameraMotionState
from .dense_kalman import HEIGHT_VELOCITY, WIDTH_VELOCITY, DenseSizeFilter
from .trace import Limit, Trace, cost_stage, overlap_stage
from .track_arrays import DetectionArrays, at, describe, report
from .tracking import Tracker, TrackerState, check_dt

FILTER = DenseSizeFilter()


@dataclass(slots=True)
class BoTTracks:
    """N tracks as arrays."""

    ids: Ints  # (N,)
    labels: Ints  # (N,)
    silent: Floats  # (N,) time since the last detection
    age: Floats  # (N,) time since the first detection
    confirmed: Bools  # (N,)
    filter: Floats  # (N, 8, 9)
    looks: Floats  # (N, D) smoothed appearance of length 1, NaN while unknown; D is 0 without embeddings

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True)
class BoTSORTState(TrackerState):
    """Tracks of BoT-SORT, and what its camera motion remembers."""

    tracks: BoTTracks = field(default_factory=lambda: _start(DetectionArrays.none(), np.zeros((0, 0)), 0, False))
    camera: CameraMotionState = field(default_factory=CameraMotionState)


class BoTSORT(Tracker):
    """BoT-SORT as in the paper. Without `camera`, or without the frame, the camera is taken to stand still.

    Args:
        camera: estimates the camera's motion from the frames.
        high, low: detections scored above are high, those between low; others are not used.
        start: least score of a detection that starts a track.
        match: greatest cost of a high detection and a confirmed track.
        match_low: greatest 1 - IoU of a low detection and a track.
        match_tentative: greatest cost of a high detection and a tentative track.
        max_age: time without a detection after which a track is ended.
        duplicate: of a seen and a lost track that overlap more than this (IoU), the younger one is ended.
        proximity: greatest 1 - IoU at which appearance counts.
        appearance: greatest half cosine distance at which appearance counts.
        momentum: share of the old appearance in the smoothed one.
    """

    def __init__(
        self,
        camera: CameraMotion | None = None,
        high: float = 0.6,
        low: float = 0.1,
        start: float = 0.7,
        match: float = 0.8,
        match_low: float = 0.5,
        match_tentative: float = 0.7,
        max_age: float = 30,
        duplicate: float = 0.85,
        proximity: float = 0.5,
        appearance: float = 0.25,
        momentum: float = 0.9,
    ) -> None:
        self.camera = camera
        self.high, self.low, self.start = high, low, start
        self.match, self.match_low, self.match_tentative = match, match_low, match_tentative
        self.max_age, self.duplicate = max_age, duplicate
        self.proximity, self.appearance, self.momentum = proximity, appearance, momentum

    def init_state(self) -> BoTSORTState:
        return BoTSORTState()

    def update(
        self, detections: Instances, state: BoTSORTState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)
        looks = self._read_looks(found, state)
        seen = state.tracks.silent == 0.0
        tracks = self._predict(state.tracks, check_dt(dt))
        self._compensate(tracks, found, state, frame)
        rows, columns, rest = self._associate(tracks, found, looks, seen, state.trace)
        self._update(tracks, rows, at(found.boxes, columns), looks.take(columns, 0))
        state.updates += 1
        rest = rest[found.scores.take(rest) >= self.start]
        fresh = _start(found.take(rest), looks.take(rest, 0), state.next_id, confirmed=state.updates == 1)
        state.next_id += len(fresh)
        ids, states = tracks.ids.take(rows), tracks.filter.take(rows, 0)
        if state.updates == 1:
            ids, states, columns = fresh.ids.copy(), fresh.filter, rest
        out = report(ids, FILTER.boxes(states), found, columns)
        state.tracks = self._end(tracks, fresh)
        return out

    def alive(self, state: BoTSORTState) -> Instances:
        tracks = state.tracks
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), tracks.confirmed, tracks.silent > 0.0)

    def warp(self, state: BoTSORTState, warp: Floats) -> None:
        state.tracks.filter = FILTER.warp(state.tracks.filter, warp)

    def _read_looks(self, found: DetectionArrays, state: BoTSORTState) -> Floats:
        """The detections' appearances (M, D) of length 1; rows with a NaN are unknown."""
        size = state.tracks.looks.shape[1]
        if found.embeddings is None:
            return np.full((len(found), size), np.nan)
        looks = found.embeddings
        if looks.ndim != 2 or (size and len(looks) and looks.shape[1] != size):
            expected = f"(M, {size})" if size else "(M, D)"
            raise ValueError(f"detections of update {state.updates}: embeddings {looks.shape}, expected {expected}")
        if not size and len(looks):
            state.tracks.looks = np.full((len(state.tracks), looks.shape[1]), np.nan)
        return looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)

    def _predict(self, tracks: BoTTracks, dt: float) -> BoTTracks:
        lost = tracks.silent > 0.0
        states = tracks.filter.copy()
        states[lost, WIDTH_VELOCITY, 8] = states[lost, HEIGHT_VELOCITY, 8] = 0.0
        tracks.filter = FILTER.predict(states, dt)
        tracks.silent, tracks.age = tracks.silent + dt, tracks.age + dt
        return tracks

    def _compensate(self, tracks: BoTTracks, found: DetectionArrays, state: BoTSORTState, frame: Frame | None) -> None:
        if self.camera is not None and frame is not None:
            boxes = found.boxes[found.scores > self.high]
            tracks.filter = FILTER.warp(tracks.filter, self.camera.estimate(frame, state.camera, boxes))

    def _associate(
        self, tracks: BoTTracks, found: DetectionArrays, looks: Floats, seen: Bools, trace: Trace | None
    ) -> tuple[Ints, Ints, Ints]:
        """Rows and columns of the matches of the three associations, and the high detections left over."""
        is_high = found.scores > self.high
        high = is_high.nonzero()[0]
        low = (~is_high & (found.scores > self.low)).nonzero()[0]
        boxes = FILTER.boxes(tracks.filter)
        cost = self._cost(boxes, tracks.looks, found, looks)  # (N, M)
        confirmed, tentative = tracks.confirmed.nonzero()[0], (~tracks.confirmed).nonzero()[0]

        first = _match(cost, confirmed, high, self.match)
        again = left(confirmed, first[0], len(tracks))
        again = again[seen.take(again)]
        overlap = iou_matrix(boxes, at(found.boxes, low))
        second = _match(1.0 - overlap, again, np.arange(len(low)), self.match_low)
        rest = left(high, first[1], len(found))
        third = _match(cost, tentative, rest, self.match_tentative)
        if trace is not None:
            trace.start = (Limit("score", self.start, "start"),)
            terms = self._terms(boxes, tracks.looks, found, looks)
            formula = "1 - IoU * score, or half the cosine distance if less and near"
            high_scores = (Limit("score", self.high, "high"),)
            low_scores = (Limit("score", self.low, "low"), Limit("score", self.high, "high", most=True))
            weak = Limit("1 - IoU", self.match_low, "match_low", most=True)
            pairs = np.searchsorted(again, second[0]), second[1]
            trace.stages += [
                cost_stage("confirmed tracks", tracks.ids, confirmed, high_scores, found.indices, high, cost, formula,
                           terms, Limit("cost", self.match, "match", most=True), first),
                overlap_stage("confirmed tracks left over and seen in the last frame", tracks.ids.take(again),
                              low_scores, found.indices.take(low), overlap.take(again, 0), weak, pairs),
                cost_stage("tentative tracks", tracks.ids, tentative, high_scores, found.indices, rest, cost, formula,
                           terms, Limit("cost", self.match_tentative, "match_tentative", most=True), third),
            ]  # fmt: skip
        rows = np.concatenate((first[0], second[0], third[0]))
        columns = np.concatenate((first[1], low.take(second[1]), third[1]))
        return rows, columns, left(rest, third[1], len(found))

    def _cost(self, boxes: Floats, track_looks: Floats, found: DetectionArrays, looks: Floats) -> Floats:
        """1 - IoU * score, or half the cosine distance where it is less and both gates are passed (section 3.3)."""
        overlap = iou_matrix(boxes, found.boxes)
        cost = 1.0 - overlap * found.scores
        if not looks.shape[1]:
            return cost
        distance = np.maximum(0.5 * (1.0 - track_looks @ looks.T), 0.0)
        counts = (distance <= self.appearance) & (overlap >= 1.0 - self.proximity)  # not for NaN
        return np.where(counts, np.minimum(cost, distance), cost)

    @staticmethod
    def _terms(boxes: Floats, track_looks: Floats, found: DetectionArrays, looks: Floats) -> dict[str, Floats]:
        """What the cost is made of, for the record."""
        overlap = iou_matrix(boxes, found.boxes)
        terms = {"IoU": overlap, "score": np.broadcast_to(found.scores, overlap.shape)}
        if looks.shape[1]:
            terms["half cosine distance"] = 0.5 * (1.0 - track_looks @ looks.T)
        return terms

    def _update(self, tracks: BoTTracks, rows: Ints, boxes: Floats, looks: Floats) -> None:
        if not len(rows):
            return
        tracks.filter[rows] = FILTER.update(tracks.filter.take(rows, 0), boxes)
        tracks.silent[rows] = 0.0
        tracks.confirmed[rows] = True
        before = tracks.looks.take(rows, 0)
        mixed = self.momentum * before + (1.0 - self.momentum) * looks
        mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
        mixed = np.where(np.isnan(before), looks, mixed)
        tracks.looks[rows] = np.where(np.isnan(mixed), before, mixed)

    def _end(self, tracks: BoTTracks, fresh: BoTTracks) -> BoTTracks:
        """Without lost tentative tracks, tracks lost for long, and duplicates."""
        kept = (tracks.silent <= self.max_age) & (tracks.confirmed | (tracks.silent == 0.0))
        tracks = _join(_take(tracks, kept.nonzero()[0]), fresh)
        lost = tracks.silent > 0.0
        there, gone = (~lost).nonzero()[0], lost.nonzero()[0]
        if not len(gone):
            return tracks
        boxes = FILTER.boxes(tracks.filter)
        p, q = find_duplicates(at(boxes, there), at(boxes, gone), self.duplicate)
        if not len(p):
            return tracks
        double = younger(tracks.age, tracks.silent, there.take(p), gone.take(q))
        return _take(tracks, unmatched(len(tracks), double))


def _take(tracks: BoTTracks, rows: Ints) -> BoTTracks:
    """The tracks at `rows`."""
    return BoTTracks(*[getattr(tracks, name).take(rows, 0) for name in BoTTracks.__match_args__])


def _join(tracks: BoTTracks, more: BoTTracks) -> BoTTracks:
    """All of them. Unlike other trackers' arrays, these have the tracks first in memory: each has a matrix."""
    return BoTTracks(
        *[np.concatenate((getattr(tracks, name), getattr(more, name))) for name in BoTTracks.__match_args__]
    )


def _match(cost: Floats, rows: Ints, columns: Ints, limit: float) -> Pairs:
    gain = limit - cost[rows[:, None], columns[None, :]]
    r, c = assign(gain, gain > 0.0)
    return rows.take(r), columns.take(c)


def _start(found: DetectionArrays, looks: Floats, first_id: int, confirmed: bool) -> BoTTracks:
    count = len(found)
    return BoTTracks(
        ids=np.arange(first_id, first_id + count),
        labels=found.labels,
        silent=np.zeros(count),
        age=np.zeros(count),
        confirmed=np.full(count, confirmed),
        filter=FILTER.initiate(found.boxes),
        looks=looks,
    )
