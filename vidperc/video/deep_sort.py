"""DeepSORT: SORT with a deep association metric (Wojke et al. 2017, https://arxiv.org/abs/1703.07402).

Numbers are the paper's. `EagerDeepSORT` is the variant that MMTracking publishes under the same name.
Appearance comes as `detections.embeddings`; a row with a NaN is a detection of unknown appearance, which is matched
by its position only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..structures import Frame, Instances
from .association import NO_PAIRS, Bools, Floats, Ints, assign_most, iou_matrix, unmatched
from .camera_motion import warp_boxes
from .galleries import Galleries
from .kalman import AspectHeightFilter
from .sort import match_overlap
from .trace import Gate, Limit, Stage, Trace, overlap_stage
from .track_arrays import DetectionArrays, at, describe, join_rows, report, take_rows
from .tracking import Tracker, TrackerState, check_dt

FILTER = AspectHeightFilter()
CHI2_95 = {2: 5.9915, 4: 9.4877}  # 0.95 quantiles of chi-square by degrees of freedom


@dataclass(slots=True)
class DeepTracks:
    """N tracks as arrays."""

    ids: Ints  # (N,)
    labels: Ints  # (N,)
    hits: Ints  # (N,) detections so far
    silent: Floats  # (N,) time since the last detection
    confirmed: Bools  # (N,)
    filter: Floats  # (N, 4, 5)
    boxes: Floats  # (N, 4) the last detection
    slots: Ints  # (N,) of the galleries

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True)
class DeepSORTState(TrackerState):
    """Tracks of DeepSORT and their appearances."""

    galleries: Galleries = field(default_factory=lambda: Galleries.empty(1))
    tracks: DeepTracks = field(default_factory=lambda: _tracks(DetectionArrays.none(), 0, np.zeros(0, np.int64)))


class DeepSORT(Tracker):
    """DeepSORT as in the paper, with the appearance term alone (lambda = 0) under the Mahalanobis gate.

    Only tracks that are confirmed and seen in the frame are reported.

    Args:
        max_distance: greatest cosine distance to the nearest appearance in a track's gallery.
        budget: appearances a gallery keeps.
        max_iou_distance: greatest 1 - IoU in the second stage.
        confirm: detections in a row that confirm a track.
        max_age: time without a detection after which a track is ended (A_max).
        score_threshold: detections scored lower are not used.
    """

    def __init__(
        self,
        max_distance: float = 0.2,
        budget: int = 100,
        max_iou_distance: float = 0.7,
        confirm: int = 3,
        max_age: float = 30,
        score_threshold: float = 0.3,
    ) -> None:
        self.max_distance, self.budget, self.max_iou_distance = max_distance, budget, max_iou_distance
        self.confirm, self.max_age, self.score_threshold = confirm, max_age, score_threshold

    def init_state(self) -> DeepSORTState:
        return DeepSORTState(galleries=Galleries.empty(self.budget))

    def update(
        self, detections: Instances, state: DeepSORTState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found, looks = _read(detections, state, self.score_threshold)
        looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
        seen = state.tracks.silent == 0.0
        tracks = predict(state.tracks, check_dt(dt))
        rows, columns = self._cascade(tracks, found, looks, state.galleries, state.trace)
        r, c = self._match_overlap(tracks, found, rows, columns, seen, state.trace)
        rows, columns = np.concatenate((rows, r)), np.concatenate((columns, c))
        update(tracks, rows, at(found.boxes, columns), self.confirm)
        state.galleries.write(tracks.slots.take(rows), looks.take(columns, 0))
        shown = tracks.confirmed.take(rows)
        r = rows[shown]
        out = report(tracks.ids.take(r), FILTER.boxes(at(tracks.filter, r)), found, columns[shown])
        start_and_end(state, tracks, found, looks, unmatched(len(found), columns), self.max_age)
        return out

    def alive(self, state: DeepSORTState) -> Instances:
        tracks = state.tracks
        return describe(tracks.ids, tracks.labels, FILTER.boxes(tracks.filter), tracks.confirmed, tracks.silent > 0.0)

    def warp(self, state: DeepSORTState, warp: Floats) -> None:
        tracks = state.tracks
        tracks.filter, tracks.boxes = FILTER.warp(tracks.filter, warp), warp_boxes(tracks.boxes, warp)

    def _cascade(
        self,
        tracks: DeepTracks,
        found: DetectionArrays,
        looks: Floats,
        galleries: Galleries,
        trace: Trace | None,
    ) -> tuple[Ints, Ints]:
        """The matching cascade (listing 1): appearance under the gate, recently seen tracks first."""
        confirmed = tracks.confirmed.nonzero()[0]
        if not len(confirmed) or not len(found):
            return confirmed[:0], confirmed[:0]
        gate = FILTER.distance(at(tracks.filter, confirmed), found.boxes) <= CHI2_95[4]
        distance = 1.0 - galleries.best_similarity(tracks.slots.take(confirmed), looks, gate)
        allowed = distance <= self.max_distance
        distance = np.where(allowed, np.maximum(distance, 0.0), 0.0)
        silent = tracks.silent.take(confirmed)
        rows: list[Ints] = []
        columns: list[Ints] = []
        for level in np.unique(silent if trace is not None else silent[allowed.any(1)]):
            of_level = (silent == level).nonzero()[0]
            r, c = assign_most(distance.take(of_level, 0), allowed.take(of_level, 0))
            if trace is not None:
                rest = unmatched(len(found), np.concatenate([NO_PAIRS, *columns]))
                self._record(trace, tracks, confirmed.take(of_level), found, rest, looks, galleries, (r, c))
            allowed[:, c] = False
            rows.append(confirmed.take(of_level.take(r)))
            columns.append(c)
        none = confirmed[:0]
        return np.concatenate([none, *rows]), np.concatenate([none, *columns])

    def _record(
        self,
        trace: Trace,
        tracks: DeepTracks,
        rows: Ints,
        found: DetectionArrays,
        columns: Ints,
        looks: Floats,
        galleries: Galleries,
        pairs: tuple[Ints, Ints],
    ) -> None:
        """One level of the cascade; the columns of its pairs count in all of `found`."""
        mahalanobis = FILTER.distance(at(tracks.filter, rows), at(found.boxes, columns))
        every = np.ones(mahalanobis.shape, bool)
        similarity = galleries.best_similarity(tracks.slots.take(rows), looks.take(columns, 0), every)
        stage = appearance_stage(
            words=f"confirmed tracks last seen {tracks.silent[rows[0]]:g} frames ago",
            ids=tracks.ids.take(rows),
            scores=(Limit("score", self.score_threshold, "score_threshold"),),
            detections=found.indices.take(columns),
            distance=1.0 - similarity.astype(np.float64),
            limit=Limit("cosine distance", self.max_distance, "max_distance", most=True),
            mahalanobis=mahalanobis,
            pairs=(pairs[0], np.searchsorted(columns, pairs[1])),
        )
        trace.stages.append(stage)

    def _match_overlap(
        self,
        tracks: DeepTracks,
        found: DetectionArrays,
        rows: Ints,
        columns: Ints,
        seen: Bools,
        trace: Trace | None,
    ) -> tuple[Ints, Ints]:
        """The second stage: tentative tracks, and confirmed ones seen in the last frame, by overlap."""
        free = seen.copy()
        free[rows] = False
        rows, columns = free.nonzero()[0], unmatched(len(found), columns)
        overlap = iou_matrix(FILTER.boxes(at(tracks.filter, rows)), at(found.boxes, columns))
        r, c = assign_most(1.0 - overlap, overlap >= 1.0 - self.max_iou_distance)
        if trace is not None:
            words = "tentative tracks, and confirmed ones left over that were seen in the last frame"
            scores = (Limit("score", self.score_threshold, "score_threshold"),)
            limit = Limit("1 - IoU", self.max_iou_distance, "max_iou_distance", most=True)
            trace.start = scores
            trace.stages.append(
                overlap_stage(words, tracks.ids.take(rows), scores, found.indices.take(columns), overlap, limit, (r, c))
            )
        return rows.take(r), columns.take(c)


class EagerDeepSORT(Tracker):
    """DeepSORT as MMTracking does it: reports every track from its first detection, with the detection's box.

    Other than in the paper, appearance is the Euclidean distance to the mean of a track's last embeddings, all
    confirmed tracks are matched at once instead of in a cascade, and the second stage compares last boxes instead of
    predicted ones. This one is for reproducing that zoo; `DeepSORT` is the default.

    Args:
        score_threshold: detections must be scored above.
        max_distance: greatest distance to the mean embedding.
        budget: embeddings in the mean.
        iou_threshold: least overlap in the second stage.
        confirm: detections in a row that confirm a track.
        max_age: time without a detection after which a track is ended.
    """

    def __init__(
        self,
        score_threshold: float = 0.5,
        max_distance: float = 2.0,
        budget: int = 10,
        iou_threshold: float = 0.5,
        confirm: int = 2,
        max_age: float = 99,
    ) -> None:
        self.score_threshold, self.max_distance, self.budget = score_threshold, max_distance, budget
        self.iou_threshold, self.confirm, self.max_age = iou_threshold, confirm, max_age

    def update(
        self, detections: Instances, state: DeepSORTState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found, looks = _read(detections, state, self.score_threshold)
        seen = state.tracks.silent == 0.0
        tracks = predict(state.tracks, check_dt(dt))
        rows, columns = self._match_appearance(tracks, found, looks, state.galleries, state.trace)
        seen[rows] = False
        last, rest = seen.nonzero()[0], unmatched(len(found), columns)
        r, c = match_overlap(at(tracks.boxes, last), at(found.boxes, rest), self.iou_threshold)
        if state.trace is not None:
            words = "tracks left over that were seen in the last frame, by their last detections"
            scores = (Limit("score", self.score_threshold, "score_threshold"),)
            overlap = iou_matrix(at(tracks.boxes, last), at(found.boxes, rest))
            least, ids = Limit("IoU", self.iou_threshold, "iou_threshold"), tracks.ids.take(last)
            state.trace.start = scores
            state.trace.stages.append(
                overlap_stage(words, ids, scores, found.indices.take(rest), overlap, least, (r, c), gated_first=False)
            )
        rows, columns = np.concatenate((rows, last.take(r))), np.concatenate((columns, rest.take(c)))
        update(tracks, rows, at(found.boxes, columns), self.confirm)
        state.galleries.write(tracks.slots.take(rows), looks.take(columns, 0))
        rest = unmatched(len(found), columns)
        ids = np.concatenate((tracks.ids.take(rows), np.arange(state.next_id, state.next_id + len(rest))))
        states = np.concatenate((tracks.confirmed.take(rows), np.zeros(len(rest), bool))).astype(np.int64)
        start_and_end(state, tracks, found, looks, rest, self.max_age)
        columns = np.concatenate((columns, rest))
        return report(ids, at(found.boxes, columns), found, columns, states)

    init_state, alive, warp = DeepSORT.init_state, DeepSORT.alive, DeepSORT.warp

    def _match_appearance(
        self,
        tracks: DeepTracks,
        found: DetectionArrays,
        looks: Floats,
        galleries: Galleries,
        trace: Trace | None,
    ) -> tuple[Ints, Ints]:
        confirmed = tracks.confirmed.nonzero()[0]
        if not len(confirmed) or not len(found):
            return confirmed[:0], confirmed[:0]
        mahalanobis = FILTER.distance(at(tracks.filter, confirmed), found.boxes)
        distance = euclidean(galleries.means(tracks.slots.take(confirmed)), looks)
        rows, columns = assign_most(distance, (mahalanobis <= CHI2_95[4]) & np.isfinite(distance))
        accepted = distance[rows, columns] <= self.max_distance
        if trace is not None:
            scores = (Limit("score", self.score_threshold, "score_threshold"),)
            limit = Limit("distance of embeddings", self.max_distance, "max_distance", most=True)
            ids, pairs = tracks.ids.take(confirmed), (rows[accepted], columns[accepted])
            trace.stages.append(
                appearance_stage("confirmed tracks", ids, scores, found.indices, distance, limit, mahalanobis, pairs)
            )
        return confirmed[rows[accepted]], columns[accepted]


def appearance_stage(
    words: str,
    ids: Ints,
    scores: tuple[Limit, ...],
    detections: Ints,
    distance: Floats,
    limit: Limit,
    mahalanobis: Floats,
    pairs: tuple[Ints, Ints],
) -> Stage:
    """The record of a stage that pairs by appearance under the Mahalanobis gate."""
    gate = Gate(Limit("squared Mahalanobis distance", CHI2_95[4], most=True), mahalanobis)
    terms = {limit.quantity: distance, gate.limit.quantity: mahalanobis}
    return Stage(words, ids, scores, detections, distance, limit.quantity, terms, (gate, Gate(limit, distance)), *pairs)


def euclidean(a: Floats, b: Floats) -> Floats:
    """Distances of the rows of a (N, D) and b (M, D): (N, M)."""
    a = np.asarray(a, np.float64)
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2.0 * (a @ b.T)
    return np.sqrt(np.maximum(squared, 0.0))


def predict(tracks: DeepTracks, dt: float) -> DeepTracks:
    """The tracks `dt` later."""
    if len(tracks):
        tracks.filter = FILTER.predict(tracks.filter, dt)
        tracks.silent = tracks.silent + dt
    return tracks


def update(tracks: DeepTracks, rows: Ints, boxes: Floats, confirm: int) -> None:
    """The tracks at `rows` have been seen at `boxes`."""
    if len(rows):
        tracks.filter.T[..., rows] = FILTER.update(at(tracks.filter, rows), boxes).T
        tracks.boxes.T[:, rows] = boxes.T
        tracks.silent[rows] = 0.0
        tracks.hits[rows] += 1
        tracks.confirmed |= tracks.hits >= confirm


def start_and_end(
    state: DeepSORTState, tracks: DeepTracks, found: DetectionArrays, looks: Floats, rest: Ints, max_age: float
) -> None:
    """Start tracks from the detections `rest`; end lost tentative tracks and those lost for too long."""
    kept = (tracks.silent <= max_age) & (tracks.confirmed | (tracks.silent == 0.0))
    if np.count_nonzero(kept) < len(kept):
        state.galleries.release(tracks.slots[~kept])
        tracks = take_rows(tracks, kept.nonzero()[0])
    if len(rest):
        slots = state.galleries.take_slots(len(rest))
        state.galleries.write(slots, looks.take(rest, 0))
        tracks = join_rows(tracks, None, _tracks(found.take(rest), state.next_id, slots))
        state.next_id += len(rest)
    state.tracks = tracks
    state.updates += 1


def _read(detections: Instances, state: DeepSORTState, score_threshold: float) -> tuple[DetectionArrays, Floats]:
    """The detections scored above the threshold, and their embeddings."""
    found = DetectionArrays.read(detections, state.updates)
    if len(found):
        found.embeddings = state.galleries.check(found.embeddings, state.updates)
        found = found.take((found.scores > score_threshold).nonzero()[0])
    if found.embeddings is None:
        return found, np.zeros((0, state.galleries.memory.shape[2]))
    return found, found.embeddings


def _tracks(found: DetectionArrays, first_id: int, slots: Ints) -> DeepTracks:
    count = len(found)
    return DeepTracks(
        ids=np.arange(first_id, first_id + count),
        labels=found.labels,
        hits=np.ones(count, np.int64),
        silent=np.zeros(count),
        confirmed=np.zeros(count, bool),
        filter=FILTER.initiate(found.boxes),
        boxes=found.boxes,
        slots=slots,
    )
