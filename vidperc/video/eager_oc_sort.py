"""OC-SORT as MMTracking publishes it, for reproducing that zoo; `OCSORT` is the default."""

from __future__ import annotations

import numpy as np

from ..structures import Frame, Instances
from .association import Floats, Ints, Pairs, assign, iou_matrix, unmatched
from .byte_track import HEIGHT, left
from .kalman import POSITION, VELOCITY, AspectHeightFilter
from .oc_sort import OCSORTState, OCTracks, direction_agreement, observe, start_tracks, warp_tracks
from .trace import Gate, Limit, Stage, Trace
from .track_arrays import DetectionArrays, at, describe, join_rows, report
from .tracking import Tracker, check_dt

FILTER = AspectHeightFilter()


class EagerOCSORT(Tracker):
    """Reports every track from its first detection, with the detection's box.

    Other than in the paper, the filter is ByteTrack's (centre, aspect, height), overlaps are weighted by the scores,
    confirmed tracks come before tentative ones, and pairs are gated before they are assigned. A direction is only
    known where there was a detection exactly `delta` updates before. Every detection updates the filter twice, the
    re-update of a gap does not predict between its virtual boxes, and tentative tracks are not predicted.

    Args:
        score_threshold: detections must be scored above.
        start: where there is no track at all, a detection must be scored above this to start one.
        iou_threshold: least overlap, weighted by the score, in every stage.
        delta: updates over which the direction of motion is measured.
        inertia: weight of the agreement in direction.
        confirm: detections that confirm a track; those of the first update are confirmed.
        max_age: time without a detection after which a track is ended.
    """

    def __init__(
        self,
        score_threshold: float = 0.3,
        start: float = 0.7,
        iou_threshold: float = 0.3,
        delta: int = 3,
        inertia: float = 0.2,
        confirm: int = 3,
        max_age: float = 29,
    ) -> None:
        self.score_threshold, self.start, self.iou_threshold = score_threshold, start, iou_threshold
        self.delta, self.inertia = delta, inertia
        self.confirm, self.max_age = confirm, max_age

    def init_state(self) -> OCSORTState:
        return OCSORTState(tracks=start_tracks(DetectionArrays.none(), 0, FILTER, self.delta + 1, 0))

    def update(
        self, detections: Instances, state: OCSORTState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)
        threshold = self.score_threshold if len(state.tracks) else self.start
        found = found.take((found.scores > threshold).nonzero()[0])
        tracks = self._predict(state.tracks, check_dt(dt))
        earlier = _observation(tracks, state.updates - self.delta - 1, tracks.boxes)
        rows, columns = self._match(tracks, found, earlier, state.trace)
        self._update(tracks, rows, at(found.boxes, columns), state.updates)
        rest = unmatched(len(found), columns)
        fresh = start_tracks(
            found.take(rest), state.next_id, FILTER, self.delta + 1, state.updates, confirmed=state.updates == 0
        )
        state.next_id += len(fresh)
        state.updates += 1
        columns = np.concatenate((columns, rest))
        ids = np.concatenate((tracks.ids.take(rows), fresh.ids))
        states = np.concatenate((tracks.confirmed.take(rows), fresh.confirmed)).astype(np.int64)
        kept = (tracks.silent <= self.max_age) & (tracks.confirmed | (tracks.silent == 0.0))
        state.tracks = join_rows(tracks, kept.nonzero()[0], fresh)
        return report(ids, at(found.boxes, columns), found, columns, states)

    def alive(self, state: OCSORTState) -> Instances:
        tracks = state.tracks
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), tracks.confirmed, tracks.silent > 0.0)

    def warp(self, state: OCSORTState, warp: Floats) -> None:
        warp_tracks(state.tracks, FILTER, warp)

    def _predict(self, tracks: OCTracks, dt: float) -> OCTracks:
        states = FILTER.predict(tracks.filter, dt)
        lost = tracks.silent > 0.0
        states[lost, HEIGHT, POSITION] = tracks.filter[lost, HEIGHT, POSITION]
        states[lost, HEIGHT, VELOCITY] = 0.0
        tracks.filter = np.where(tracks.confirmed, states.T, tracks.filter.T).T
        tracks.silent = tracks.silent + dt
        return tracks

    def _match(self, tracks: OCTracks, found: DetectionArrays, earlier: Floats, trace: Trace | None) -> Pairs:
        """Confirmed, then tentative tracks by overlap and direction; the rest by overlap with last boxes."""
        boxes = FILTER.boxes(tracks.filter)
        rest = np.arange(len(found))
        pairs = []
        stages = (("confirmed tracks", tracks.confirmed), ("tentative tracks", ~tracks.confirmed))
        for words, chosen in stages:
            members = chosen.nonzero()[0]
            gain = self._gain(at(boxes, members), found, rest)
            known = at(tracks.direction, members)
            agreement = direction_agreement(known, at(earlier, members), at(found.boxes, rest))
            total = gain + self.inertia * agreement
            r, c = assign(total, total > 0.0)
            if trace is not None:
                self._record(trace, words, tracks.ids.take(members), found, rest, gain, agreement, (r, c))
            pairs.append((members.take(r), rest.take(c)))
            rest = left(rest, rest.take(c), len(found))
        lost = unmatched(len(tracks), np.concatenate([rows for rows, _ in pairs]))
        gain = self._gain(at(tracks.boxes, lost), found, rest)
        r, c = assign(gain, gain > 0.0)
        if trace is not None:
            words = "tracks left over, by their last detections"
            self._record(trace, words, tracks.ids.take(lost), found, rest, gain, np.zeros_like(gain), (r, c))
        pairs.append((lost.take(r), rest.take(c)))
        rows, columns = (np.concatenate(part) for part in zip(*pairs))
        return rows, columns

    def _record(
        self,
        trace: Trace,
        words: str,
        ids: Ints,
        found: DetectionArrays,
        columns: Ints,
        gain: Floats,
        agreement: Floats,
        matches: Pairs,
    ) -> None:
        """A stage, given the overlaps weighted by the scores less the threshold, and the agreement in direction."""
        trace.start = (Limit("score", self.score_threshold, "score_threshold"),)
        total = gain + self.inertia * agreement
        weighted = gain + self.iou_threshold
        limit = Limit("IoU * score + inertia * agreement", self.iou_threshold, "iou_threshold")
        stage = Stage(
            tracks=words,
            ids=ids,
            scores=trace.start,
            detections=found.indices.take(columns),
            cost=1.0 - self.iou_threshold - total,
            formula="1 - IoU * score - inertia * agreement in direction",
            terms={"IoU * score": weighted, "agreement in direction": agreement},
            gates=(Gate(limit, weighted + self.inertia * agreement),),
            rows=matches[0],
            columns=matches[1],
        )
        trace.stages.append(stage)

    def _gain(self, boxes: Floats, found: DetectionArrays, columns: Ints) -> Floats:
        gain = iou_matrix(boxes, at(found.boxes, columns))
        gain *= found.scores.take(columns)
        gain -= self.iou_threshold
        return gain

    def _update(self, tracks: OCTracks, rows: Ints, boxes: Floats, update: int) -> None:
        _re_update(tracks, rows, boxes)
        before = tracks.history[rows, (update - self.delta) % (self.delta + 1)]
        before = np.where(np.isnan(before[:, :1]), boxes, before)
        tracks.history[:, update % (self.delta + 1)] = np.nan
        if len(rows):
            once = FILTER.update(at(tracks.filter, rows), boxes)
            observe(tracks, rows, FILTER.update(once, boxes), boxes, before, update)
            tracks.confirmed |= tracks.hits + 1 >= self.confirm


def _observation(tracks: OCTracks, update: int, default: Floats) -> Floats:
    """The detections (N, 4) that the tracks had in an update, `default` for those that had none."""
    then = tracks.history[:, update % tracks.history.shape[1]]
    return np.where(np.isnan(then[:, :1]), default, then)


def _re_update(tracks: OCTracks, rows: Ints, boxes: Floats) -> None:
    """The filter from the last detection on, updated with virtual boxes along the gap, without predictions."""
    missed = np.rint(tracks.silent.take(rows)) - 1.0
    again = missed > 0
    if not np.count_nonzero(again):
        return
    rows, boxes, missed = rows[again], boxes[again], missed[again]
    before = at(tracks.boxes, rows)
    shift = (boxes - before) / (missed[:, None] + 1.0)
    states = at(tracks.seen, rows)
    for step in range(1, int(missed.max()) + 1):
        active = missed >= step
        states[active] = FILTER.update(states[active], before[active] + shift[active] * step)
    tracks.filter[rows] = states
