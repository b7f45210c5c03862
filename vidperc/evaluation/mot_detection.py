"""Detections of a MOTChallenge sequence scored as its MOT17Det benchmark does: no identities, one class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .formats import Source, read_tracks
from .metrics.matching import EPS, Pairs, assign, box_pairs
from .mot import paired
from .scores import COMBINED
from .tracks import Tracks

DISTRACTORS = (2, 7, 8, 12)  # person on vehicle, static person, distractor, reflection
MIN_VISIBILITY = 0.5
RECALLS = np.arange(0, 11) / 10


@dataclass(frozen=True, slots=True)
class DetectionCounts:
    """What the scores of a sequence, or of several, are made of."""

    truth: int
    frames: int
    tp: int  # pairs of the one-to-one matching with the largest overlap
    similarity: float  # summed over these
    scores: np.ndarray  # (P,) of the detections that count
    hits: np.ndarray  # (P,) bool, which of them find an object when they choose in the order of their scores

    def __add__(self, other: DetectionCounts) -> DetectionCounts:
        return DetectionCounts(
            self.truth + other.truth,
            self.frames + other.frames,
            self.tp + other.tp,
            self.similarity + other.similarity,
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.hits, other.hits]),
        )

    def metrics(self) -> dict[str, float]:
        """AP, MODA, MODP, Recall, Precision as fractions (0 where undefined), FAR per frame, and the counts."""
        tp, fp, n = self.tp, len(self.hits) - self.tp, max(1, self.truth)
        return {
            "AP": self.average_precision(),
            "MODA": (tp - fp) / n if self.truth else 0.0,
            "MODP": self.similarity / max(1, tp),
            "Recall": tp / n,
            "Precision": tp / max(1, tp + fp),
            "FAR": fp / max(1, self.frames),
            "GT": self.truth,
            "TP": tp,
            "FP": fp,
            "FN": self.truth - tp,
        }

    def average_precision(self) -> float:
        """Mean of the precision where the recall reaches 0, 0.1, ... 1, detections sorted by score; 0 beyond."""
        if not len(self.hits):
            return 0.0
        tp = np.cumsum(self.hits[np.argsort(-self.scores, kind="stable")])
        recall, precision = tp / max(1, self.truth), tp / np.arange(1, len(tp) + 1)
        reached = np.searchsorted(recall, RECALLS - EPS)
        return float(np.append(precision, 0.0)[reached].mean())


def evaluate_mot_detections(ground_truth: Source, detections: Source) -> dict[str, dict[str, float]]:
    """The scores of each sequence and 'COMBINED', for sources as `evaluate_mot` takes them; ids are not read.

    Pedestrians that are visible by half or more are scored. Detections matched to distractors or to objects
    less visible are left out.

    Raises:
        ValueError: no sequence in common, or invalid rows; sequence and frame are named.
    """
    truth, found = read_tracks(ground_truth, truth=True), read_tracks(detections, truth=False)
    found = paired(truth, found)
    counts = {name: count_detections(truth[name], found[name]) for name in truth}
    return {**{name: count.metrics() for name, count in counts.items()}, COMBINED: _sum(counts).metrics()}


def count_detections(truth: Tracks, detections: Tracks) -> DetectionCounts:
    """The counts of one sequence."""
    detections = replace(detections, ids=np.arange(len(detections)))
    truth.check(truth.length)
    detections.check(truth.length)
    scores = np.ones(len(detections)) if detections.scores is None else detections.scores
    order = np.lexsort((-scores, detections.frames))
    detections, scores = detections[order], scores[order]
    removing, scored = _roles(truth)
    pairs = box_pairs(truth.frames, truth.boxes, detections.frames, detections.boxes)
    near = pairs[pairs.similarity >= 0.5 - EPS]
    matches = near[assign(near, near.similarity, truth.frames, detections.frames)]
    kept = np.ones(len(detections), bool)
    kept[matches.prediction[removing[matches.truth]]] = False
    near = near.subset(scored, kept)
    matches = near[assign(near, near.similarity, truth.frames[scored], detections.frames[kept])]
    hits = _in_order(near, int(scored.sum()), int(kept.sum()))
    return DetectionCounts(
        truth=int(scored.sum()),
        frames=max(truth.num_frames, detections.num_frames),
        tp=len(matches),
        similarity=float(matches.similarity.sum()),
        scores=scores[kept],
        hits=np.isin(np.arange(int(kept.sum())), hits.prediction),
    )


def _roles(truth: Tracks) -> tuple[np.ndarray, np.ndarray]:
    """(G,) bool twice: objects whose detections are left out, and objects that are scored."""
    n = len(truth)
    labels = np.ones(n, np.int64) if truth.labels is None else truth.labels
    visible = np.ones(n, bool) if truth.visibilities is None else truth.visibilities >= MIN_VISIBILITY
    ignored = np.zeros(n, bool) if truth.ignored is None else truth.ignored
    return np.isin(labels, DISTRACTORS) | ~visible, (labels == 1) & ~ignored & visible


def _in_order(pairs: Pairs, num_truth: int, num_detections: int) -> Pairs:
    """Each detection in turn (rows are sorted by score within a frame) takes the nearest object still free."""
    free, waiting, chosen = np.ones(num_truth, bool), np.ones(num_detections, bool), []
    for i in np.lexsort((-pairs.similarity, pairs.prediction)):
        row, column = pairs.truth[i], pairs.prediction[i]
        if free[row] and waiting[column]:
            free[row] = waiting[column] = False
            chosen.append(i)
    return pairs[np.array(chosen, np.int64)]


def _sum(counts: Mapping[str, DetectionCounts]) -> DetectionCounts:
    first, *others = counts.values()
    for other in others:
        first = first + other
    return first
