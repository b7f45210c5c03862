"""ByteTrack: tracking by associating every detection box (Zhang et al. 2022, https://arxiv.org/abs/2110.06864).

Numbers of `ByteTrack` are those of the paper's MOT17 experiments. `EagerByteTrack` is the variant that MMTracking
publishes under the same name; what it does otherwise is said there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..structures import Frame, Instances, TrackState
from .association import NO_PAIRS, Bools, Floats, Ints, Pairs, assign_pairs, iou_matrix
from .kalman import VELOCITY, AspectHeightFilter
from .trace import Gate, Limit, Stage, Trace, overlap_stage
from .track_arrays import DetectionArrays, describe, join_rows, report, take_rows
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
    filter: Floats  # (N, 5, 4)

    def __len__(self) -> int:
        return len(self.ids)


def start_tracks(found: DetectionArrays, first_id: int, confirmed: bool) -> ByteTracks:
    """A track per detection."""
    count = len(found)
    return ByteTracks(
        ids=np.arange(first_id, first_id + count),
        labels=found.labels,
        hits=np.ones(count, np.int64),
        silent=np.zeros(count),
        age=np.zeros(count),
        confirmed=np.full(count, confirmed),
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
        update(tracks, rows, found.boxes.take(columns, 0))
        tracks.confirmed[rows] = True
        state.updates += 1
        rest = rest[found.scores.take(rest) >= self.start]
        fresh = start_tracks(found.take(rest), state.next_id, confirmed=state.updates == 1) if len(rest) else None
        state.next_id += len(rest)
        out = self._report(tracks, rows, columns, fresh, rest, found)
        state.tracks = self._end(tracks, fresh)
        return out

    def alive(self, state: ByteTrackState) -> Instances:
        tracks = state.tracks
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), tracks.confirmed, tracks.silent > 0.0)

    def associate(
        self, tracks: ByteTracks, found: DetectionArrays, seen: Bools, trace: Trace | None = None
    ) -> tuple[Ints, Ints, Ints]:
        """Rows and columns of the matches of the three associations, and the high detections left over."""
        high = found.scores > self.high
        overlap = iou_matrix(FILTER.boxes(tracks.filter), found.boxes)
        touching = Touching(overlap)
        fused = touching.overlap * found.scores.take(touching.columns)
        confirmed = tracks.confirmed.take(touching.rows)
        is_high = high.take(touching.columns)

        rows, columns = touching.match(fused, confirmed & is_high, self.match)
        row_free, column_free = touching.free(rows, columns)
        again = confirmed & ~is_high & row_free.take(touching.rows) & seen.take(touching.rows)
        again &= found.scores.take(touching.columns) > self.low
        low = touching.match(touching.overlap, again, self.match_low)
        new = ~confirmed & is_high & column_free.take(touching.columns)
        tentative = touching.match(fused, new, self.match_tentative)
        if trace is not None:
            self._record(trace, tracks, found, seen, overlap, ((rows, columns), low, tentative))
        if len(low[0]) or len(tentative[0]):
            rows = np.concatenate((rows, low[0], tentative[0]))
            columns = np.concatenate((columns, low[1], tentative[1]))
        high[columns] = False
        return rows, columns, high.nonzero()[0]

    def _record(
        self,
        trace: Trace,
        tracks: ByteTracks,
        found: DetectionArrays,
        seen: Bools,
        overlap: Floats,
        matches: tuple[Pairs, Pairs, Pairs],
    ) -> None:
        """The three associations, from their matches."""
        first, second, third = matches
        high = (Limit("score", self.high, "high"),)
        low = (Limit("score", self.low, "low"), Limit("score", self.high, "high", most=True))
        is_high = found.scores > self.high
        columns, rest = is_high.nonzero()[0], (~is_high & (found.scores > self.low)).nonzero()[0]
        rows = tracks.confirmed.nonzero()[0]
        trace.stages.append(
            fused_stage("confirmed tracks", tracks, rows, high, found, columns, overlap, self.match, "match", first)
        )
        rows = left(rows, first[0], len(tracks))
        rows = rows[seen.take(rows)]
        block = overlap.take(rows, 0).take(rest, 1)
        greatest = Limit("1 - IoU", self.match_low, "match_low", most=True)
        words = "confirmed tracks left over and seen in the last frame"
        pairs = np.searchsorted(rows, second[0]), np.searchsorted(rest, second[1])
        trace.stages.append(
            overlap_stage(words, tracks.ids.take(rows), low, found.indices.take(rest), block, greatest, pairs)
        )
        rows, columns = (~tracks.confirmed).nonzero()[0], left(columns, first[1], len(found))
        limit, name = self.match_tentative, "match_tentative"
        trace.stages.append(
            fused_stage("tentative tracks", tracks, rows, high, found, columns, overlap, limit, name, third)
        )
        trace.start = (Limit("score", self.start, "start"),)

    def _report(
        self,
        tracks: ByteTracks,
        rows: Ints,
        columns: Ints,
        fresh: ByteTracks | None,
        rest: Ints,
        found: DetectionArrays,
    ) -> Instances:
        """The confirmed tracks of this frame, with their filtered boxes."""
        ids, states = tracks.ids.take(rows), tracks.filter.take(rows, 0)
        if fresh is not None and fresh.confirmed[0]:
            ids, states = np.concatenate((ids, fresh.ids)), np.concatenate((states, fresh.filter))
            columns = np.concatenate((columns, rest))
        return report(ids, FILTER.boxes(states), found, columns)

    def _end(self, tracks: ByteTracks, fresh: ByteTracks | None) -> ByteTracks:
        """Without lost tentative tracks, tracks lost for long, and duplicates; with the new ones."""
        lost = tracks.silent > 0.0
        rows = None
        if np.count_nonzero(lost):
            kept = (tracks.silent <= self.max_age) & (tracks.confirmed | ~lost)
            rows = None if np.count_nonzero(kept) == len(kept) else kept.nonzero()[0]
        if fresh is not None:
            tracks = join_rows(tracks, rows, fresh)
        elif rows is not None:
            tracks = take_rows(tracks, rows)
        double = find_duplicates(FILTER.boxes(tracks.filter), tracks.silent, tracks.age, self.duplicate)
        return tracks if double is None else take_rows(tracks, (~double).nonzero()[0])


class EagerByteTrack(Tracker):
    """ByteTrack as MMTracking does it: reports every track from its first detection, with the detection's box.

    Other than in the paper, any high detection left over starts a track (only with no tracks at all must it reach
    `start`), a track is confirmed by its third detection, tentative tracks are not predicted, and duplicates stay.
    This one is for reproducing that zoo; `ByteTrack` is the default, as fewer false tracks are reported.

    Args:
        high, low, start, match, match_low, match_tentative, max_age: as for `ByteTrack`.
        confirm: detections in a row that confirm a track; those of the first update are confirmed.
    """

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
        self.inner = ByteTrack(high, low, start, match, match_low, match_tentative, max_age)
        self.confirm = confirm

    def init_state(self) -> ByteTrackState:
        return ByteTrackState()

    def update(
        self, detections: Instances, state: ByteTrackState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)
        tracks = predict(state.tracks, check_dt(dt), only_confirmed=True)
        rows, columns, rest = self.inner.associate(tracks, found, state.tracks.silent == 0.0, state.trace)
        update(tracks, rows, found.boxes.take(columns, 0))
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

    alive = ByteTrack.alive


def find_duplicates(boxes: Floats, silent: Floats, age: Floats, threshold: float) -> Bools | None:
    """Which of the tracks (N,) overlap another one by more than `threshold` and are the younger of the two.

    Only pairs of a track seen in this frame and a lost one count; a track's age ends with its last detection. None
    where there are none.
    """
    lost = silent > 0.0
    gone = lost.nonzero()[0]
    if not len(gone) or len(gone) == len(lost):
        return None
    there = (~lost).nonzero()[0]
    near = iou_matrix(boxes.take(there, 0), boxes.take(gone, 0)) > threshold
    if not np.count_nonzero(near):
        return None
    p, q = near.nonzero()
    there, gone = there[p], gone[q]
    out = np.zeros(len(boxes), bool)
    out[np.where(age[there] > age[gone] - silent[gone], gone, there)] = True
    return out


def predict(tracks: ByteTracks, dt: float, only_confirmed: bool = False) -> ByteTracks:
    """The tracks `dt` later. Heights of lost ones stay as they are: without detections their trend misleads."""
    if not len(tracks):
        return tracks
    tracks.filter[:, VELOCITY, HEIGHT] *= tracks.silent == 0.0
    states = FILTER.predict(tracks.filter, dt)
    if only_confirmed:
        states = np.where(tracks.confirmed[:, None, None], states, tracks.filter)
    return ByteTracks(
        tracks.ids, tracks.labels, tracks.hits, tracks.silent + dt, tracks.age + dt, tracks.confirmed, states
    )


def update(tracks: ByteTracks, rows: Ints, boxes: Floats) -> None:
    """The tracks at `rows` have been seen at `boxes`."""
    if len(rows):
        tracks.filter[rows] = FILTER.update(tracks.filter.take(rows, 0), boxes)
        tracks.silent[rows] = 0.0
        tracks.hits[rows] += 1


class Touching:
    """The pairs of tracks and detections that overlap at all, on which all associations of a frame work."""

    def __init__(self, overlap: Floats) -> None:
        flat = overlap.ravel().nonzero()[0]
        self.shape = overlap.shape
        self.rows = flat // max(overlap.shape[1], 1)
        self.columns = flat - self.rows * overlap.shape[1]
        self.overlap = overlap.ravel().take(flat)  # (P,) IoU

    def match(self, similarity: Floats, chosen: Bools, limit: float) -> Pairs:
        """The pairing of least total cost 1 - similarity among the chosen pairs that cost at most `limit`."""
        gain = similarity - (1.0 - limit)
        index = (chosen & (gain > 0.0)).nonzero()[0]
        if not len(index):
            return NO_PAIRS, NO_PAIRS
        return assign_pairs(self.rows.take(index), self.columns.take(index), gain.take(index), self.shape)

    def free(self, rows: Ints, columns: Ints) -> tuple[Bools, Bools]:
        """Which of all rows, and of all columns, are not among those given."""
        row_free, column_free = np.ones(self.shape[0], bool), np.ones(self.shape[1], bool)
        row_free[rows], column_free[columns] = False, False
        return row_free, column_free


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
    return report(ids, found.boxes.take(columns, 0), found, columns, states)


def fused_stage(
    words: str,
    tracks: ByteTracks,
    rows: Ints,
    scores: tuple[Limit, ...],
    found: DetectionArrays,
    columns: Ints,
    overlap: Floats,
    match: float,
    setting: str,
    pairs: Pairs,
) -> Stage:
    """The record of a stage whose cost is 1 - IoU * score, among `rows` of the tracks and `columns` of `found`."""
    overlap = overlap.take(rows, 0).take(columns, 1)
    score = found.scores.take(columns)
    cost = 1.0 - overlap * score
    return Stage(
        tracks=words,
        ids=tracks.ids.take(rows),
        scores=scores,
        detections=found.indices.take(columns),
        cost=cost,
        formula="1 - IoU * score",
        terms={"IoU": overlap, "score": np.broadcast_to(score, cost.shape)},
        gates=(Gate(Limit("cost", match, setting, most=True), cost),),
        rows=np.searchsorted(rows, pairs[0]),
        columns=np.searchsorted(columns, pairs[1]),
    )
