"""ByteTrack: tracking by associating every detection box (Zhang et al. 2022, https://arxiv.org/abs/2110.06864).

Numbers of `ByteTrack` are those of the paper's MOT17 experiments. `EagerByteTrack` is the variant that MMTracking
publishes under the same name; what it does otherwise is said there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..structures import Frame, Instances, TrackState
from .association import Bools, Floats, Ints, Pairs, assign, iou_matrix
from .kalman import POSITION, VELOCITY, AspectHeightFilter
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
        rows, columns, rest = self.associate(tracks, found, state.tracks.silent == 0.0)
        update(tracks, rows, found.boxes.take(columns, 0))
        tracks.confirmed[rows] = True
        state.updates += 1
        rest = rest[found.scores.take(rest) >= self.start]
        fresh = start_tracks(found.take(rest), state.next_id, confirmed=state.updates == 1)
        state.next_id += len(fresh)
        out = self._report(tracks, rows, columns, fresh, rest, found)
        state.tracks = self._end(tracks, fresh)
        return out

    def alive(self, state: ByteTrackState) -> Instances:
        tracks = state.tracks
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), tracks.confirmed, tracks.silent > 0.0)

    def associate(self, tracks: ByteTracks, found: DetectionArrays, seen: Bools) -> tuple[Ints, Ints, Ints]:
        """Rows and columns of the matches of the three associations, and the high detections left over."""
        is_high = found.scores > self.high
        high = is_high.nonzero()[0]
        low = (~is_high & (found.scores > self.low)).nonzero()[0]
        boxes = FILTER.boxes(tracks.filter)
        confirmed = tracks.confirmed.nonzero()[0]

        pairs = [match_boxes(boxes, found, confirmed, high, self.match, fuse_scores=True)]
        rest = left(high, pairs[0][1], len(found))
        if len(low):
            again = left(confirmed, pairs[0][0], len(tracks))
            again = again[seen.take(again)]
            pairs.append(match_boxes(boxes, found, again, low, self.match_low, fuse_scores=False))
        if len(rest) and len(confirmed) < len(tracks):
            tentative = (~tracks.confirmed).nonzero()[0]
            pairs.append(match_boxes(boxes, found, tentative, rest, self.match_tentative, fuse_scores=True))
            rest = left(rest, pairs[-1][1], len(found))
        rows, columns = pairs[0] if len(pairs) == 1 else map(np.concatenate, zip(*pairs))
        return rows, columns, rest

    def _report(
        self, tracks: ByteTracks, rows: Ints, columns: Ints, fresh: ByteTracks, rest: Ints, found: DetectionArrays
    ) -> Instances:
        """The confirmed tracks of this frame, with their filtered boxes."""
        ids, states = tracks.ids.take(rows), tracks.filter.take(rows, 0)
        if len(fresh) and fresh.confirmed[0]:
            ids, states = np.concatenate((ids, fresh.ids)), np.concatenate((states, fresh.filter))
            columns = np.concatenate((columns, rest))
        return report(ids, FILTER.boxes(states), found, columns)

    def _end(self, tracks: ByteTracks, fresh: ByteTracks) -> ByteTracks:
        """Without lost tentative tracks, tracks lost for long, and duplicates."""
        lost = tracks.silent > 0.0
        if np.count_nonzero(lost):
            kept = (tracks.silent <= self.max_age) & (tracks.confirmed | ~lost)
            rows = kept.nonzero()[0]
            tracks = join_rows(tracks, rows, fresh) if len(fresh) else take_rows(tracks, rows)
            double = has_duplicate(FILTER.boxes(tracks.filter), tracks.silent, tracks.age, self.duplicate)
            return take_rows(tracks, (~double).nonzero()[0]) if np.count_nonzero(double) else tracks
        return join_rows(tracks, None, fresh) if len(fresh) else tracks


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
        rows, columns, rest = self.inner.associate(tracks, found, state.tracks.silent == 0.0)
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


def has_duplicate(boxes: Floats, silent: Floats, age: Floats, threshold: float) -> Bools:
    """Which of the tracks (N,) overlap another one by more than `threshold` and are the younger of the two.

    Only pairs of a track seen in this frame and a lost one count; a track's age ends with its last detection.
    """
    lost = silent > 0.0
    there, gone = (~lost).nonzero()[0], lost.nonzero()[0]
    out = np.zeros(len(boxes), bool)
    p, q = (iou_matrix(boxes.take(there, 0), boxes.take(gone, 0)) > threshold).nonzero()
    if len(p):
        there, gone = there[p], gone[q]
        out[np.where(age[there] > age[gone] - silent[gone], gone, there)] = True
    return out


def predict(tracks: ByteTracks, dt: float, only_confirmed: bool = False) -> ByteTracks:
    """The tracks `dt` later. Heights of lost ones stay as they are: without detections their trend misleads."""
    if not len(tracks):
        return tracks
    states = FILTER.predict(tracks.filter, dt)
    lost = tracks.silent > 0.0
    if np.count_nonzero(lost):
        states[lost, POSITION, HEIGHT] = tracks.filter[lost, POSITION, HEIGHT]
        states[lost, VELOCITY, HEIGHT] = 0.0
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


def match_boxes(
    boxes: Floats, found: DetectionArrays, rows: Ints, columns: Ints, limit: float, fuse_scores: bool
) -> Pairs:
    """The pairs of least total cost among tracks at `rows` and detections at `columns`, each of at most `limit`.

    The cost is 1 - IoU, with `fuse_scores` 1 - IoU * score.
    """
    gain = iou_matrix(boxes.take(rows, 0), found.boxes.take(columns, 0))
    if fuse_scores:
        gain *= found.scores.take(columns)
    gain -= 1.0 - limit
    r, c = assign(gain, gain > 0.0)
    return rows.take(r), columns.take(c)


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
