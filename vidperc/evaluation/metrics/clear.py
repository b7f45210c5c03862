"""CLEAR MOT metrics (Bernardin & Stiefelhagen, EURASIP JIVP 2008), as the MOTChallenge counts them.

Mostly tracked, partially tracked, mostly lost and fragmentations are those of Li et al., CVPR 2009,
MOTAL (with the logarithm of the switches) that of Kasturi et al., PAMI 2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

import numpy as np

from .matching import EPS, Pairs, ambiguous_frames
from .sequence import MOTSequence

KEEP = 1000.0  # what continuing a match is worth against similarities, which are at most 1


@dataclass(frozen=True, slots=True)
class ClearCounts:
    """What CLEAR sums over sequences."""

    tp: int
    fp: int
    fn: int
    idsw: int
    frag: int
    mt: int
    pt: int
    ml: int
    similarity: float  # sum over the TPs
    frames: int

    def __add__(self, other: ClearCounts) -> ClearCounts:
        return ClearCounts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def scores(self) -> dict[str, float]:
        """Scores in (-inf, 1], 0 where there is no ground truth, and the counts."""
        truth = self.tp + self.fn
        n = max(1, truth)
        errors = self.fp + self.fn
        log_switches = log10(self.idsw) if self.idsw > 0 else 0.0
        return {
            "MOTA": 1 - (errors + self.idsw) / n if truth else 0.0,
            "MOTP": self.similarity / max(1, self.tp),
            "MODA": 1 - errors / n if truth else 0.0,
            "MOTAL": 1 - (errors + log_switches) / n if truth else 0.0,
            "sMOTA": (self.similarity - self.fp - self.idsw) / n if truth else 0.0,
            "Recall": self.tp / n,
            "Precision": self.tp / max(1, self.tp + self.fp),
            "FAR": self.fp / max(1, self.frames),
            "TP": self.tp,
            "FP": self.fp,
            "FN": self.fn,
            "IDSW": self.idsw,
            "Frag": self.frag,
            "MT": self.mt,
            "PT": self.pt,
            "ML": self.ml,
        }


def clear_counts(sequence: MOTSequence, threshold: float = 0.5) -> ClearCounts:
    """The CLEAR counts of one sequence, with the matching of `clear_matches`."""
    return count_matches(sequence, clear_matches(sequence, threshold))


def clear_matches(sequence: MOTSequence, threshold: float = 0.5) -> np.ndarray:
    """(M,) bool: the pairs that match, of those with similarity >= `threshold`.

    In each frame the assignment first keeps as many matches of the previous frame as it can, then
    maximises the similarity. "Previous" skips frames without objects or without predictions.
    """
    candidates = np.flatnonzero(sequence.pairs.similarity >= threshold - EPS)
    pairs = sequence.pairs[candidates]
    before = _same_tracks_before(sequence, pairs, sequence.tracks[candidates])
    chosen = np.ones(len(pairs) + 1, bool)
    chosen[-1] = False  # where `before` points when there is none
    for block in ambiguous_frames(pairs, sequence.truth_frames, sequence.prediction_frames):
        kept = chosen[before[block.pairs]]
        chosen[block.pairs] = block.solve(KEEP * kept + pairs.similarity[block.pairs])
    out = np.zeros(len(sequence.pairs), bool)
    out[candidates[chosen[:-1]]] = True
    return out


def _same_tracks_before(sequence: MOTSequence, pairs: Pairs, tracks: np.ndarray) -> np.ndarray:
    """(M,) index of the pair of the same two tracks in the previous frame with both sides; -1: none."""
    key = _frame_ranks(sequence)[sequence.truth_frames[pairs.truth]] * len(sequence.track_pairs) + tracks
    order = np.argsort(key)
    wanted = key - len(sequence.track_pairs)
    place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    found = order[place] if len(key) else order
    return np.where(key[found] == wanted, found, -1)


def _frame_ranks(sequence: MOTSequence) -> np.ndarray:
    """(length,) position of each frame among the frames that have both objects and predictions."""
    last = max([sequence.length, *sequence.truth_frames[-1:] + 1, *sequence.prediction_frames[-1:] + 1])
    both = np.zeros(last, bool)
    both[np.intersect1d(sequence.truth_frames, sequence.prediction_frames)] = True
    return np.cumsum(both) - 1


def count_matches(sequence: MOTSequence, matches: np.ndarray) -> ClearCounts:
    """The CLEAR counts of one sequence for given matches (M,) bool, one to one in each frame.

    A switch is a match with another track than at the object's last match, however long ago.
    A fragmentation is a gap of at least one frame (with both objects and predictions) between two matches.
    Mostly tracked objects are matched in more than 80 % of their frames, mostly lost ones in less than 20 %.
    """
    pairs = sequence.pairs[matches]
    truth, prediction = sequence.truth_ids[pairs.truth], sequence.prediction_ids[pairs.prediction]
    rank = _frame_ranks(sequence)[sequence.truth_frames[pairs.truth]]
    order = np.argsort(truth, kind="stable")  # by object, then by frame
    truth, prediction, rank = truth[order], prediction[order], rank[order]
    again = truth[1:] == truth[:-1]
    ratio = np.bincount(truth, minlength=sequence.num_truth_ids) / np.maximum(1, sequence.truth_lengths())
    mostly, at_least_partially = int((ratio > 0.8).sum()), int((ratio >= 0.2).sum())
    return ClearCounts(
        tp=len(pairs),
        fp=sequence.num_predictions - len(pairs),
        fn=sequence.num_truth - len(pairs),
        idsw=int((again & (prediction[1:] != prediction[:-1])).sum()),
        frag=int((again & (np.diff(rank) > 1)).sum()),
        mt=mostly,
        pt=at_least_partially - mostly,
        ml=sequence.num_truth_ids - at_least_partially,
        similarity=float(pairs.similarity.sum()),
        frames=sequence.length,
    )
