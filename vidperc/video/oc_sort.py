"""OC-SORT: observation-centric SORT (Cao et al. 2023, https://arxiv.org/abs/2203.14360).

Numbers are the paper's. `EagerOCSORT` is the variant that MMTracking publishes under the same name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..structures import Frame, Instances
from .association import Bools, Floats, Ints, Pairs, Touching, iou_matrix, solve, touching_pairs, unmatched
from .camera_motion import warp_boxes
from .kalman import AreaRatioFilter, BoxFilter
from .trace import Gate, Limit, Stage, Trace, overlap_stage
from .track_arrays import DetectionArrays, at, describe, join, report, take_rows
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
    filter: Floats  # (N, 4, 5)
    seen: Floats  # (N, 4, 5) the filter right after the last detection
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
    history = np.full((4, delta, count), NONE).T
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
        direction=np.zeros((2, count)).T,
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
        found = found.above(self.score_threshold)
        tracks = self._predict(state.tracks, check_dt(dt))
        earlier = earlier_observations(tracks, state.updates)
        rows, columns = self._match(tracks, found, earlier, state.trace)
        boxes = at(found.boxes, columns)
        re_update(tracks, rows, boxes)
        self._update(tracks, rows, boxes, earlier, state.updates)
        rest = unmatched(len(found), columns)
        fresh = start_tracks(found.take(rest), state.next_id, FILTER, self.delta, state.updates) if len(rest) else None
        state.next_id += len(rest)
        state.updates += 1
        out = self._report(tracks, rows, columns, fresh, rest, found, state.updates)
        kept = (tracks.silent <= self.max_age).nonzero()[0]
        if len(kept) < len(tracks):
            tracks = take_rows(tracks, kept)
        state.tracks = tracks if fresh is None else join((tracks, fresh))
        return out

    def alive(self, state: OCSORTState) -> Instances:
        tracks = state.tracks
        proven = tracks.streak >= self.min_hits
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), proven, tracks.silent > 0.0)

    def warp(self, state: OCSORTState, warp: Floats) -> None:
        warp_tracks(state.tracks, FILTER, warp)

    def _predict(self, tracks: OCTracks, dt: float) -> OCTracks:
        tracks.streak = np.where(tracks.silent > 0.0, 0, tracks.streak)
        tracks.silent = tracks.silent + dt
        tracks.filter = FILTER.predict(tracks.filter, dt)
        return tracks

    def _match(self, tracks: OCTracks, found: DetectionArrays, earlier: Floats, trace: Trace | None) -> Pairs:
        """Overlap with predictions and agreement in direction (OCM); for the rest, overlap with last boxes (OCR)."""
        boxes = FILTER.boxes(tracks.filter)
        touching = touching_pairs(boxes, found.boxes)
        near = (touching.overlap >= self.iou_threshold).nonzero()[0]
        rows, columns = touching.rows.take(near), touching.columns.take(near)
        if have_rivals(rows, columns, touching.shape):
            rows, columns = self._assign(tracks, found, earlier, boxes, touching)
        lost, rest = unmatched(len(tracks), rows), unmatched(len(found), columns)
        last, left = at(tracks.boxes, lost), at(found.boxes, rest)
        again = touching_pairs(last, left)
        chosen = again.choose(again.overlap) if len(again.overlap) else again.rows
        chosen = chosen[again.overlap.take(chosen) >= self.iou_threshold]
        r, c = again.rows.take(chosen), again.columns.take(chosen)
        if trace is not None:
            self._record(trace, tracks, found, earlier, iou_matrix(boxes, found.boxes), (rows, columns))
            words = "tracks left over, by their last detections"
            least, overlap = Limit("IoU", self.iou_threshold, "iou_threshold"), iou_matrix(last, left)
            ids, indices = tracks.ids.take(lost), found.indices.take(rest)
            trace.stages.append(
                overlap_stage(words, ids, trace.start, indices, overlap, least, (r, c), gated_first=False)
            )
        if not len(r):
            return rows, columns
        return np.concatenate((rows, lost.take(r))), np.concatenate((columns, rest.take(c)))

    def _assign(
        self, tracks: OCTracks, found: DetectionArrays, earlier: Floats, boxes: Floats, touching: Touching
    ) -> Pairs:
        """The complete assignment of greatest overlap and agreement; pairs that overlap too little are rejected then.

        Agreement adds no more than `bound` to an overlap and takes no more away. A pair whose overlap is so far above
        all its rivals' that this cannot matter is in every optimum: swapped in for the two pairs that keep it out, it
        gains more than they and loses less than the least pair has. Only the others are solved for.
        """
        overlap = touching.overlap
        bound = 0.5 * abs(self.inertia) * max(float(found.scores.max()), -float(found.scores.min()))
        totals = np.bincount(touching.rows, overlap, touching.shape[0]).take(touching.rows)
        totals += np.bincount(touching.columns, overlap, touching.shape[1]).take(touching.columns)
        sure = ((3.0 * overlap - totals > 4.0 * bound) & (overlap >= self.iou_threshold)).nonzero()[0]
        rows, columns = touching.rows.take(sure), touching.columns.take(sure)
        r, c = unmatched(touching.shape[0], rows), unmatched(touching.shape[1], columns)
        gain = direction_agreement(at(tracks.direction, r), at(earlier, r), at(found.boxes, c))
        gain *= self.inertia * found.scores.take(c)
        overlap = iou_matrix(at(boxes, r), at(found.boxes, c))
        i, j = solve(-(overlap + gain))
        accepted = overlap[i, j] >= self.iou_threshold
        return np.concatenate((rows, r.take(i[accepted]))), np.concatenate((columns, c.take(j[accepted])))

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
        tracks.history.T[:, update % self.delta] = NONE
        if len(rows):
            filtered = FILTER.update(at(tracks.filter, rows), boxes)
            observe(tracks, rows, filtered, boxes, at(earlier, rows), update)

    def _report(
        self,
        tracks: OCTracks,
        rows: Ints,
        columns: Ints,
        fresh: OCTracks | None,
        rest: Ints,
        found: DetectionArrays,
        updates: int,
    ) -> Instances:
        """Tracks with a detection in this frame that have proven themselves, or all near the start of a video."""
        ids = tracks.ids.take(rows)
        if updates > self.min_hits:
            proven = tracks.streak.take(rows) >= self.min_hits
            ids, columns = ids[proven], columns[proven]
        if fresh is not None and (updates <= self.min_hits or not self.min_hits):
            ids, columns = np.concatenate((ids, fresh.ids)), np.concatenate((columns, rest))
        return report(ids, at(found.boxes, columns), found, columns)


def warp_tracks(tracks: OCTracks, kalman: BoxFilter, warp: Floats) -> None:
    """Everything that the tracks remember, moved along with the camera."""
    tracks.filter, tracks.seen = kalman.warp(tracks.filter, warp), kalman.warp(tracks.seen, warp)
    tracks.boxes = warp_boxes(tracks.boxes, warp)
    history = [warp_boxes(tracks.history[:, k], warp).T for k in range(tracks.history.shape[1])]
    tracks.history = np.stack(history, 1).T
    direction = warp[:, :2] @ tracks.direction.T  # (2, N)
    tracks.direction = (direction / np.maximum(np.hypot(*direction), 1e-12)).T


def earlier_observations(tracks: OCTracks, update: int) -> Floats:
    """The detection of `delta` updates ago, or the oldest one since, or the last one: (N, 4)."""
    history = tracks.history.T  # (4, delta, N)
    delta = history.shape[1]
    out = history[:, update % delta].copy()
    for newer in (*(history[:, (update + k) % delta] for k in range(1, delta)), tracks.boxes.T):
        missing = np.isnan(out[0])
        if not np.count_nonzero(missing):
            break
        out = np.where(missing, newer, out)
    return out.T


def direction_agreement(direction: Floats, earlier: Floats, boxes: Floats) -> Floats:
    """How well detections (M, 4) continue the motion of tracks: (N, M) in [-0.5, 0.5], 0 while that is unknown.

    A quarter turn minus the angle between the track's `direction` (N, 2) and that from its `earlier` box (N, 4) to the
    detection, over pi (section 4.2).
    """
    boxes, earlier, direction = boxes.T, earlier.T, direction.T
    x = 0.5 * ((boxes[0] + boxes[2]) - (earlier[0] + earlier[2])[:, None])  # (N, M)
    y = 0.5 * ((boxes[1] + boxes[3]) - (earlier[1] + earlier[3])[:, None])
    cosine = x * direction[0][:, None]
    cosine += y * direction[1][:, None]
    x *= x
    y *= y
    x += y
    np.sqrt(x, out=x)
    x += 1e-6
    cosine /= x
    np.minimum(np.maximum(cosine, -1.0), 1.0, out=cosine)
    return 0.5 - np.arccos(cosine) / np.pi


def have_rivals(rows: Ints, columns: Ints, shape: tuple[int, int]) -> bool:
    """Whether a row or a column is in two of the pairs."""
    taken = np.zeros(shape[0], bool), np.zeros(shape[1], bool)
    taken[0][rows], taken[1][columns] = True, True
    return any(int(np.count_nonzero(marks)) < len(rows) for marks in taken)


def unit_shift(before: Floats, after: Floats) -> Floats:
    """The direction of motion between the centres of boxes (N, 4), as vectors (N, 2) of length 1, 0 at rest."""
    before, after = before.T, after.T
    shift = (after[:2] + after[2:]) - (before[:2] + before[2:])
    shift *= 0.5
    shift /= np.sqrt(shift[0] ** 2 + shift[1] ** 2) + 1e-6
    return shift.T


def observe(tracks: OCTracks, rows: Ints, filtered: Floats, boxes: Floats, earlier: Floats, update: int) -> None:
    """The tracks at `rows`, whose filter is updated to `filtered`, have been seen at `boxes`."""
    tracks.filter.T[..., rows] = filtered.T
    tracks.seen.T[..., rows] = filtered.T
    tracks.direction.T[:, rows] = unit_shift(earlier, boxes).T
    tracks.boxes.T[:, rows] = boxes.T
    tracks.history.T[:, update % tracks.history.shape[1], rows] = boxes.T
    tracks.silent[rows] = 0.0
    tracks.hits[rows] += 1
    tracks.streak[rows] += 1


def re_update(tracks: OCTracks, rows: Ints, boxes: Floats) -> None:
    """Observation-centric re-update (ORU): the filter goes through the gap again along a straight line.

    From its state at the last detection, every step of the gap is predicted and updated with a virtual box between
    the last detection and the new one; what is left is the prediction for the new one.
    """
    silent = tracks.silent.take(rows)
    again = (silent > 1.0).nonzero()[0]
    if not len(again):
        return
    silent = silent.take(again)
    steps = np.maximum(np.rint(silent), 1.0).astype(np.int64)
    order = (-steps).argsort(kind="stable")  # so that those still under way come first
    steps, dt, again = steps.take(order), (silent / steps).take(order), again.take(order)
    rows, boxes = rows.take(again), at(boxes, again)
    before = at(tracks.boxes, rows)
    shift = (boxes - before) / steps[:, None]
    gone = np.arange(1.0, steps[0])[:, None, None]
    between = FILTER.encode((before + shift * gone).reshape(-1, 4)).T.reshape(4, -1, len(rows))  # (4, S, N)
    unit = np.count_nonzero(dt == 1.0) == len(dt)
    states = FILTER.follow(at(tracks.seen, rows), between.transpose(1, 2, 0), steps - 1, 1.0 if unit else dt[:, None])
    tracks.filter.T[..., rows] = states.T
