"""OC-SORT: observation-centric SORT (Cao et al. 2023, https://arxiv.org/abs/2203.14360).

Numbers are the paper's. `EagerOCSORT` is the variant that MMTracking publishes under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..structures import Frame, Instances
from .association import Bools, Floats, Ints, Pairs, assign, iou_matrix, solve, unmatched
from .kalman import AreaRatioFilter, BoxFilter
from .trace import Gate, Limit, Stage, Trace, overlap_stage
from .track_arrays import DetectionArrays, describe, join_rows, report
from .tracking import Tracker, TrackerState, check_dt

FILTER = AreaRatioFilter()
NONE = np.nan  # the corners of an observation that was not made


@dataclass(slots=True)
class OCTracks:
    """N tracks as arrays."""

    ids: Ints  # (N,)
    labels: Ints  # (N,)
    hits: Ints  # (N,) detections so far, not counting the first
    streak: Ints  # (N,) of them in a row
    silent: Floats  # (N,) time since the last detection
    confirmed: Bools  # (N,) only used by EagerOCSORT
    filter: Floats  # (N, 5, 4)
    seen: Floats  # (N, 5, 4) the filter right after the last detection
    boxes: Floats  # (N, 4) the last detection
    history: Floats  # (N, delta, 4) the detections of the last updates, NONE where missed; a ring by update
    direction: Floats  # (N, 2) unit vector of motion, zero while unknown

    def __len__(self) -> int:
        return len(self.ids)


def start_tracks(
    found: DetectionArrays, first_id: int, kalman: BoxFilter, delta: int, update: int, confirmed: bool = False
) -> OCTracks:
    """A track per detection."""
    count = len(found)
    filtered = kalman.initiate(found.boxes)
    history = np.full((count, delta, 4), NONE)
    history[:, update % delta] = found.boxes
    return OCTracks(
        ids=np.arange(first_id, first_id + count),
        labels=found.labels,
        hits=np.zeros(count, np.int64),
        streak=np.zeros(count, np.int64),
        silent=np.zeros(count),
        confirmed=np.full(count, confirmed),
        filter=filtered,
        seen=filtered,
        boxes=found.boxes,
        history=history,
        direction=np.zeros((count, 2)),
    )


@dataclass(slots=True)
class OCSORTState(TrackerState):
    """Tracks of OC-SORT."""

    tracks: OCTracks = field(default_factory=lambda: start_tracks(DetectionArrays.none(), 0, FILTER, 1, 0))


class OCSORT(Tracker):
    """OC-SORT as in the paper: momentum in the association, recovery by last boxes, re-update after a gap.

    Reports the tracks seen in the frame, with the detection's box: observations are what this method trusts.

    Args:
        score_threshold: detections must be scored above.
        iou_threshold: least overlap in both stages.
        delta: updates over which the direction of motion is measured (Delta t).
        inertia: weight of the agreement in direction (lambda).
        min_hits: a track is reported once it has had this many detections after its first in a row, except in the
            first `min_hits` updates, when all are.
        max_age: time without a detection after which a track is ended.
    """

    def __init__(
        self,
        score_threshold: float = 0.6,
        iou_threshold: float = 0.3,
        delta: int = 3,
        inertia: float = 0.2,
        min_hits: int = 3,
        max_age: float = 30,
    ) -> None:
        if delta < 1:
            raise ValueError(f"delta: expected at least 1 update, got {delta}")
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.delta, self.inertia = delta, inertia
        self.min_hits, self.max_age = min_hits, max_age

    def init_state(self) -> OCSORTState:
        return OCSORTState(tracks=start_tracks(DetectionArrays.none(), 0, FILTER, self.delta, 0))

    def update(
        self, detections: Instances, state: OCSORTState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)
        found = found.take((found.scores > self.score_threshold).nonzero()[0])
        tracks = self._predict(state.tracks, check_dt(dt))
        earlier = earlier_observations(tracks, state.updates)
        rows, columns = self._match(tracks, found, earlier, state.trace)
        re_update(tracks, rows, found.boxes.take(columns, 0))
        self._update(tracks, rows, found.boxes.take(columns, 0), earlier, state.updates)
        rest = unmatched(len(found), columns)
        fresh = start_tracks(found.take(rest), state.next_id, FILTER, self.delta, state.updates)
        state.next_id += len(fresh)
        state.updates += 1
        out = self._report(tracks, rows, columns, fresh, rest, found, state.updates)
        kept = tracks.silent <= self.max_age
        if len(fresh) or np.count_nonzero(kept) < len(kept):
            tracks = join_rows(tracks, kept.nonzero()[0], fresh)
        state.tracks = tracks
        return out

    def alive(self, state: OCSORTState) -> Instances:
        tracks = state.tracks
        proven = tracks.streak >= self.min_hits
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), proven, tracks.silent > 0.0)

    def _predict(self, tracks: OCTracks, dt: float) -> OCTracks:
        tracks.streak = np.where(tracks.silent > 0.0, 0, tracks.streak)
        tracks.silent = tracks.silent + dt
        tracks.filter = FILTER.predict(tracks.filter, dt)
        return tracks

    def _match(self, tracks: OCTracks, found: DetectionArrays, earlier: Floats, trace: Trace | None) -> Pairs:
        """Overlap with predictions and agreement in direction (OCM); for the rest, overlap with last boxes (OCR)."""
        overlap = iou_matrix(FILTER.boxes(tracks.filter), found.boxes)
        near = overlap >= self.iou_threshold
        rows, columns = near.nonzero()
        if have_rivals(rows, columns):
            agreement = direction_agreement(tracks.direction, earlier, found.boxes)
            rows, columns = solve(-(overlap + self.inertia * found.scores * agreement))
            accepted = overlap[rows, columns] >= self.iou_threshold
            rows, columns = rows[accepted], columns[accepted]

        if trace is not None:
            self._record(trace, tracks, found, earlier, overlap, (rows, columns))
        lost, rest = unmatched(len(tracks), rows), unmatched(len(found), columns)
        overlap = iou_matrix(tracks.boxes.take(lost, 0), found.boxes.take(rest, 0))
        r, c = assign(overlap, overlap > 0.0)
        accepted = overlap[r, c] >= self.iou_threshold
        r, c = r[accepted], c[accepted]
        if trace is not None:
            ids, columns_left = tracks.ids.take(lost), found.indices.take(rest)
            words = "tracks left over, by their last detections"
            least = Limit("IoU", self.iou_threshold, "iou_threshold")
            trace.stages.append(
                overlap_stage(words, ids, trace.start, columns_left, overlap, least, (r, c), gated_first=False)
            )
        return np.concatenate((rows, lost.take(r))), np.concatenate((columns, rest.take(c)))

    def _record(
        self, trace: Trace, tracks: OCTracks, found: DetectionArrays, earlier: Floats, overlap: Floats, pairs: Pairs
    ) -> None:
        """The first stage."""
        agreement = direction_agreement(tracks.direction, earlier, found.boxes)
        bonus = self.inertia * found.scores * agreement
        trace.start = (Limit("score", self.score_threshold, "score_threshold"),)
        stage = Stage(
            tracks="all tracks",
            ids=tracks.ids,
            scores=trace.start,
            detections=found.indices,
            cost=1.0 - overlap - bonus,
            formula="1 - IoU - inertia * score * agreement in direction",
            terms={"IoU": overlap, "agreement in direction": agreement},
            gates=(Gate(Limit("IoU", self.iou_threshold, "iou_threshold"), overlap),),
            rows=pairs[0],
            columns=pairs[1],
            gated_first=False,
        )
        trace.stages.append(stage)

    def _update(self, tracks: OCTracks, rows: Ints, boxes: Floats, earlier: Floats, update: int) -> None:
        tracks.history[:, update % self.delta] = NONE
        if len(rows):
            tracks.filter[rows] = FILTER.update(tracks.filter.take(rows, 0), boxes)
            observe(tracks, rows, boxes, earlier.take(rows, 0), update)

    def _report(
        self,
        tracks: OCTracks,
        rows: Ints,
        columns: Ints,
        fresh: OCTracks,
        rest: Ints,
        found: DetectionArrays,
        updates: int,
    ) -> Instances:
        """Tracks with a detection in this frame that have proven themselves, or all near the start of a video."""
        ids = tracks.ids.take(rows)
        if updates > self.min_hits:
            proven = tracks.streak.take(rows) >= self.min_hits
            ids, columns = ids[proven], columns[proven]
        if updates <= self.min_hits or not self.min_hits:
            ids, columns = np.concatenate((ids, fresh.ids)), np.concatenate((columns, rest))
        return report(ids, found.boxes.take(columns, 0), found, columns)


def earlier_observations(tracks: OCTracks, update: int) -> Floats:
    """The detection of `delta` updates ago, or the oldest one since, or the last one: (N, 4)."""
    delta = tracks.history.shape[1]
    out = tracks.boxes
    for back in range(1, delta + 1):
        then = tracks.history[:, (update - back) % delta]
        out = np.where(np.isnan(then[:, :1]), out, then)
    return out


def direction_agreement(direction: Floats, earlier: Floats, boxes: Floats) -> Floats:
    """How well detections (M, 4) continue the motion of tracks: (N, M) in [-0.5, 0.5], 0 while that is unknown.

    A quarter turn minus the angle between the track's `direction` (N, 2) and that from its `earlier` box (N, 4) to the
    detection, over pi (section 4.2).
    """
    x = 0.5 * ((boxes[:, 0] + boxes[:, 2]) - (earlier[:, 0] + earlier[:, 2])[:, None])  # (N, M)
    y = 0.5 * ((boxes[:, 1] + boxes[:, 3]) - (earlier[:, 1] + earlier[:, 3])[:, None])
    cosine = x * direction[:, :1]
    cosine += y * direction[:, 1:]
    x *= x
    y *= y
    x += y
    cosine /= np.sqrt(x) + 1e-6
    np.minimum(np.maximum(cosine, -1.0), 1.0, out=cosine)
    return 0.5 - np.arccos(cosine) / np.pi


def have_rivals(rows: Ints, columns: Ints) -> bool:
    """Whether a row or a column is in two of the pairs."""
    return bool(len(rows)) and max(np.bincount(rows).max(), np.bincount(columns).max()) > 1


def unit_shift(before: Floats, after: Floats) -> Floats:
    """The direction of motion between the centres of boxes (N, 4), as vectors (N, 2) of length 1, 0 at rest."""
    shift = (after[:, :2] + after[:, 2:]) - (before[:, :2] + before[:, 2:])
    shift *= 0.5
    return shift / (np.sqrt(shift[:, :1] ** 2 + shift[:, 1:] ** 2) + 1e-6)


def observe(tracks: OCTracks, rows: Ints, boxes: Floats, earlier: Floats, update: int) -> None:
    """The tracks at `rows`, whose filter is updated, have been seen at `boxes`."""
    tracks.seen[rows] = tracks.filter.take(rows, 0)
    tracks.direction[rows] = unit_shift(earlier, boxes)
    tracks.boxes[rows] = boxes
    tracks.history[rows, update % tracks.history.shape[1]] = boxes
    tracks.silent[rows] = 0.0
    tracks.hits[rows] += 1
    tracks.streak[rows] += 1


def re_update(tracks: OCTracks, rows: Ints, boxes: Floats) -> None:
    """Observation-centric re-update (ORU): the filter goes through the gap again along a straight line.

    From its state at the last detection, every step of the gap is predicted and updated with a virtual box between
    the last detection and the new one; what is left is the prediction for the new one.
    """
    again = tracks.silent.take(rows) > 1.0
    if not np.count_nonzero(again):
        return
    rows, boxes = rows[again], boxes[again]
    steps = np.maximum(np.rint(tracks.silent.take(rows)), 1.0)
    order = np.argsort(-steps, kind="stable")  # so that those still under way come first
    rows, boxes, steps = rows[order], boxes[order], steps[order]
    dt = (tracks.silent.take(rows) / steps)[:, None]
    before = tracks.boxes.take(rows, 0)
    shift = (boxes - before) / steps[:, None]
    states = tracks.seen.take(rows, 0)
    for step in range(1, int(steps[0]) + 1):
        active, inside = np.count_nonzero(steps >= step), np.count_nonzero(steps > step)
        states[:active] = FILTER.predict(states[:active], dt[:active])
        states[:inside] = FILTER.update(states[:inside], before[:inside] + shift[:inside] * step)
    tracks.filter[rows] = states
