"""ByteTrack: tracking by associating every detection box (Zhang et al. 2022, https://arxiv.org/abs/2110.06864).

Numbers of `ByteTrack` are those of the paper's MOT17 experiments. `EagerByteTrack` is the variant that MMTracking
publishes under the same name; what it does otherwise is said there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..structures import Frame, Instances, TrackState
from .association import Bools, Floats, Ints, Pairs, aligned_iou, iou_matrix, touching_pairs, unmatched
from .kalman import VELOCITY, AspectHeightFilter
from .trace import Limit, Trace, cost_stage, overlap_stage
from .track_arrays import DetectionArrays, at, describe, filled, join, join_rows, report, take_rows
from .tracking import Tracker, TrackerState, check_dt

FILTER = AspectHeightFilter()
HEIGHT = 3  # of the filter's coordinates


@dataclass(slots=True)
class ByteTracks:
    """N tracks as arrays."""

    ids: Ints  # (N,)
    labels: Ints  # (N,)
    hits: Ints  # (N,) detections so far
    silent: Floats  # (N,) time since the last detection
    age: Floats  # (N,) time since the first detection
    confirmed: Bools  # (N,)
    filter: Floats  # (N, 4, 5)

    def __len__(self) -> int:
        return len(self.ids)


def start_tracks(found: DetectionArrays, first_id: int, confirmed: bool) -> ByteTracks:
    """A track per detection."""
    count = len(found)
    return ByteTracks(
        ids=np.arange(first_id, first_id + count),
        labels=found.labels,
        hits=filled(count, np.int64, 1),
        silent=np.zeros(count),
        age=np.zeros(count),
        confirmed=filled(count, bool, confirmed),
        filter=FILTER.initiate(found.boxes),
    )


@dataclass(slots=True)
class ByteTrackState(TrackerState):
    """Tracks of ByteTrack."""

    tracks: ByteTracks = field(default_factory=lambda: start_tracks(DetectionArrays.none(), 0, False))


class ByteTrack(Tracker):
    """ByteTrack as in the paper and its code.

    High detections are matched to all confirmed tracks, what is left to tentative ones; low detections then are
    matched to the tracks that are left and were seen in the last frame. A track is tentative until it is seen a
    second time, except those of the first update.

    Args:
        high: detections scored above are high.
        low: those scored between are low, others are not used.
        start: least score of a detection that starts a track.
        match: greatest cost 1 - IoU * score of a high detection and a confirmed track.
        match_low: greatest cost 1 - IoU of a low detection and a track.
        match_tentative: greatest cost of a high detection and a tentative track.
        max_age: time without a detection after which a track is ended.
        duplicate: of a seen and a lost track that overlap more than this (IoU), the younger one is ended.
    """

    def __init__(
        self,
        high: float = 0.6,
        low: float = 0.1,
        start: float = 0.7,
        match: float = 0.9,
        match_low: float = 0.5,
        match_tentative: float = 0.7,
        max_age: float = 30,
        duplicate: float = 0.85,
    ) -> None:
        self.high, self.low, self.start = high, low, start
        self.match, self.match_low, self.match_tentative = match, match_low, match_tentative
        self.max_age, self.duplicate = max_age, duplicate

    def init_state(self) -> ByteTrackState:
        return ByteTrackState()

    def update(
        self, detections: Instances, state: ByteTrackState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)
        tracks = predict(state.tracks, check_dt(dt))  # tentative ones too, as in the paper's algorithm 1
        rows, columns, rest = self.associate(tracks, found, state.tracks.silent == 0.0, state.trace)
        update(tracks, rows, at(found.boxes, columns))
        tracks.confirmed[rows] = True
        state.updates += 1
        rest = rest[found.scores.take(rest) >= self.start]
        fresh = start_tracks(found.take(rest), state.next_id, confirmed=state.updates == 1) if len(rest) else None
        state.next_id += len(rest)
        boxes = FILTER.boxes(tracks.filter)
        out = self._report(tracks, boxes, rows, columns, fresh, rest, found)
        state.tracks = self._end(tracks, boxes, fresh)
        return out

    def alive(self, state: ByteTrackState) -> Instances:
        tracks = state.tracks
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), tracks.confirmed, tracks.silent > 0.0)

    def warp(self, state: ByteTrackState, warp: Floats) -> None:
        state.tracks.filter = FILTER.warp(state.tracks.filter, warp)

    def associate(
        self, tracks: ByteTracks, found: DetectionArrays, seen: Bools, trace: Trace | None = None
    ) -> tuple[Ints, Ints, Ints]:
        """Rows and columns of the matches of the three associations, and the high detections left over."""
        touching = touching_pairs(FILTER.boxes(tracks.filter), found.boxes)
        score, confirmed = found.scores.take(touching.columns), tracks.confirmed.take(touching.rows)
        high = found.scores > self.high
        is_high = high.take(touching.columns)
        fused = touching.overlap * score
        gain = fused - (1.0 - self.match)
        possible = (confirmed & is_high & (gain > 0.0)).nonzero()[0]
        first = touching.choose(gain.take(possible), possible)

        # Low detections with confirmed tracks, high ones with tentative tracks: no pair of one is a rival of the other.
        rest = touching.open(first)
        rest = rest[(confirmed ^ is_high).take(rest)]
        later = rest
        if len(rest):
            weak = confirmed.take(rest)
            limits = np.where(weak, 1.0 - self.match_low, 1.0 - self.match_tentative)
            gain = np.where(weak, touching.overlap.take(rest), fused.take(rest)) - limits
            allowed = (score.take(rest) > self.low) & seen.take(touching.rows.take(rest)) | ~weak
            possible = ((gain > 0.0) & allowed).nonzero()[0]
            later = touching.choose(gain.take(possible), rest.take(possible))
        if trace is not None:
            of_low = confirmed.take(later)
            stages = [
                (touching.rows.take(chosen), touching.columns.take(chosen))
                for chosen in (first, later[of_low], later[~of_low])
            ]
            self._record(trace, tracks, found, seen, stages)
        chosen = np.concatenate((first, later)) if len(later) else first
        columns = touching.columns.take(chosen)
        high[columns] = False
        return touching.rows.take(chosen), columns, high.nonzero()[0]

    def _record(
        self,
        trace: Trace,
        tracks: ByteTracks,
        found: DetectionArrays,
        seen: Bools,
        matches: Sequence[Pairs],
    ) -> None:
        """The three associations, from their matches."""
        first, second, third = matches
        ids, indices = tracks.ids, found.indices
        overlap = iou_matrix(FILTER.boxes(tracks.filter), found.boxes)
        terms = {"IoU": overlap, "score": np.broadcast_to(found.scores, overlap.shape)}
        cost, formula = 1.0 - overlap * found.scores, "1 - IoU * score"
        high = (Limit("score", self.high, "high"),)
        low = (Limit("score", self.low, "low"), Limit("score", self.high, "high", most=True))
        is_high = found.scores > self.high
        columns, rest = is_high.nonzero()[0], (~is_high & (found.scores > self.low)).nonzero()[0]
        rows, tentative = tracks.confirmed.nonzero()[0], (~tracks.confirmed).nonzero()[0]
        again = left(rows, first[0], len(tracks))
        again = again[seen.take(again)]
        pairs = np.searchsorted(again, second[0]), np.searchsorted(rest, second[1])
        unused = left(columns, first[1], len(found))
        trace.stages += [
            cost_stage("confirmed tracks", ids, rows, high, indices, columns, cost, formula, terms,
                       Limit("cost", self.match, "match", most=True), first),
            overlap_stage("confirmed tracks left over and seen in the last frame", ids.take(again), low,
                          indices.take(rest), overlap.take(again, 0).take(rest, 1),
                          Limit("1 - IoU", self.match_low, "match_low", most=True), pairs),
            cost_stage("tentative tracks", ids, tentative, high, indices, unused, cost, formula, terms,
                       Limit("cost", self.match_tentative, "match_tentative", most=True), third),
        ]  # fmt: skip
        trace.start = (Limit("score", self.start, "start"),)

    def _report(
        self,
        tracks: ByteTracks,
        boxes: Floats,
        rows: Ints,
        columns: Ints,
        fresh: ByteTracks | None,
        rest: Ints,
        found: DetectionArrays,
    ) -> Instances:
        """The confirmed tracks of this frame, with their filtered boxes."""
        ids, boxes = tracks.ids.take(rows), at(boxes, rows)
        if fresh is not None and fresh.confirmed[0]:
            ids, columns = np.concatenate((ids, fresh.ids)), np.concatenate((columns, rest))
            boxes = np.concatenate((boxes, FILTER.boxes(fresh.filter)))
        return report(ids, boxes, found, columns)

    def _end(self, tracks: ByteTracks, boxes: Floats, fresh: ByteTracks | None) -> ByteTracks:
        """With the new tracks, but without lost tentative tracks, tracks lost for long, and duplicates."""
        if fresh is not None:
            tracks, boxes = join((tracks, fresh)), np.concatenate((boxes, FILTER.boxes(fresh.filter)))
        lost = tracks.silent > 0.0
        gone = lost.nonzero()[0]
        if not len(gone):
            return tracks
        ended = (tracks.silent.take(gone) > self.max_age) | ~tracks.confirmed.take(gone)
        drop, gone = gone[ended], gone[~ended]
        if len(gone):
            there = (~lost).nonzero()[0]
            p, q = find_duplicates(at(boxes, there), at(boxes, gone), self.duplicate)
            drop = np.concatenate((drop, younger(tracks.age, tracks.silent, there[p], gone[q]))) if len(p) else drop
        return take_rows(tracks, unmatched(len(tracks), drop)) if len(drop) else tracks


class EagerByteTrack(Tracker):
    """ByteTrack as MMTracking does it: reports every track from its first detection, with the detection's box.

    Other than in the paper, any high detection left over starts a track (only with no tracks at all must it reach
    `start`), a track is confirmed by its third detection, tentative tracks are not predicted, and duplicates stay.
    This one is for reproducing that zoo; `ByteTrack` is the default, as fewer false tracks are reported.

    Args:
        high, low, start, match, match_low, match_tentative, max_age: as for `ByteTrack`.
        confirm: detections in a row that confirm a track; those of the first update are confirmed.
    """

    associating: type[ByteTrack] = ByteTrack  # whose associations these are

    def __init__(
        self,
        high: float = 0.6,
        low: float = 0.1,
        start: float = 0.7,
        match: float = 0.9,
        match_low: float = 0.5,
        match_tentative: float = 0.7,
        confirm: int = 3,
        max_age: float = 29,
    ) -> None:
        self.inner = self.associating(high, low, start, match, match_low, match_tentative, max_age)
        self.confirm = confirm

    def update(
        self, detections: Instances, state: ByteTrackState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)
        tracks = predict(state.tracks, check_dt(dt), only_confirmed=True)
        rows, columns, rest = self.inner.associate(tracks, found, state.tracks.silent == 0.0, state.trace)
        update(tracks, rows, at(found.boxes, columns))
        tracks.confirmed |= tracks.hits >= self.confirm
        if not len(tracks):
            rest = rest[found.scores.take(rest) > self.inner.start]
        fresh = start_tracks(found.take(rest), state.next_id, confirmed=state.updates == 0)
        state.next_id += len(fresh)
        state.updates += 1
        kept = (tracks.silent <= self.inner.max_age) & (tracks.confirmed | (tracks.silent == 0.0))
        out = report_detections(tracks, rows, columns, fresh, rest, found)
        state.tracks = join_rows(tracks, kept.nonzero()[0], fresh)
        return out

    init_state, alive, warp = ByteTrack.init_state, ByteTrack.alive, ByteTrack.warp


def find_duplicates(boxes: Floats, others: Floats, threshold: float) -> Pairs:
    """The pairs of `boxes` (N, 4) and `others` (M, 4) that overlap by more than `threshold` (IoU)."""
    size = boxes.T[2:] - boxes.T[:2]
    # IoU > t: the overlap is more than t times either width, so the left sides are nearer than (1 / t - 1) widths.
    apart = boxes.T[:2, :, None] - others.T[:2, None]  # (2, N, M)
    near = np.abs(apart) <= (size * (1.0 / max(threshold, 1e-9) - 1.0))[:, :, None]
    p, q = (near[0] & near[1]).nonzero()
    if len(p):
        twice = aligned_iou(at(boxes, p), at(others, q)) > threshold
        p, q = p[twice], q[twice]
    return p, q


def predict(tracks: ByteTracks, dt: float, only_confirmed: bool = False) -> ByteTracks:
    """The tracks `dt` later. Heights of lost ones stay as they are: without detections their trend misleads."""
    if not len(tracks):
        return tracks
    tracks.filter[:, HEIGHT, VELOCITY] *= tracks.silent == 0.0
    states = FILTER.predict(tracks.filter, dt)
    if only_confirmed:
        states = np.where(tracks.confirmed, states.T, tracks.filter.T).T
    return ByteTracks(
        tracks.ids, tracks.labels, tracks.hits, tracks.silent + dt, tracks.age + dt, tracks.confirmed, states
    )


def update(tracks: ByteTracks, rows: Ints, boxes: Floats) -> None:
    """The tracks at `rows` have been seen at `boxes`."""
    if len(rows):
        tracks.filter.T[..., rows] = FILTER.update(at(tracks.filter, rows), boxes).T
        tracks.silent[rows] = 0.0
        tracks.hits[rows] += 1


def younger(age: Floats, silent: Floats, there: Ints, gone: Ints) -> Ints:
    """Of each track seen and its duplicate that is lost, the younger one; age ends with the last detection."""
    return np.where(age.take(there) > age.take(gone) - silent.take(gone), gone, there)


def left(candidates: Ints, taken: Ints, count: int) -> Ints:
    """The candidates that are not taken, in order; all are indices below `count`."""
    free = np.zeros(count, bool)
    free[candidates] = True
    free[taken] = False
    return free.nonzero()[0]


def report_detections(
    tracks: ByteTracks, rows: Ints, columns: Ints, fresh: ByteTracks, rest: Ints, found: DetectionArrays
) -> Instances:
    """Matched and new tracks, tentative or not, with the boxes of their detections."""
    columns = np.concatenate((columns, rest))
    confirmed = np.concatenate((tracks.confirmed.take(rows), fresh.confirmed))
    ids = np.concatenate((tracks.ids.take(rows), fresh.ids))
    states = np.where(confirmed, int(TrackState.CONFIRMED), int(TrackState.TENTATIVE))
    return report(ids, at(found.boxes, columns), found, columns, states)
