"""HOTA: higher order tracking accuracy (Luiten et al., IJCV 2020, https://arxiv.org/abs/2009.07736)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .matching import EPS, assign
from .sequence import MOTSequence

ALPHAS = np.arange(0.05, 0.99, 0.05)  # (19,) localisation thresholds, section 5.3
MEANS = ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr", "OWTA")


@dataclass(frozen=True, slots=True)
class HOTACounts:
    """What HOTA sums over sequences: each field is (19,), one value per threshold."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    similarity: np.ndarray  # sum over the TPs c of their similarity
    association: np.ndarray  # sum over the TPs c of A(c) = TPA / (TPA + FNA + FPA)
    association_recall: np.ndarray  # sum of TPA / (TPA + FNA)
    association_precision: np.ndarray  # sum of TPA / (TPA + FPA)

    def __add__(self, other: HOTACounts) -> HOTACounts:
        return HOTACounts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def curves(self) -> dict[str, np.ndarray]:
        """Each score at each threshold, in [0, 1]. LocA is 1 where nothing matches."""
        tp = np.maximum(1, self.tp)
        detection = self.tp / np.maximum(1, self.tp + self.fn + self.fp)
        recall = self.tp / np.maximum(1, self.tp + self.fn)
        association = self.association / tp
        return {
            "HOTA": np.sqrt(detection * association),
            "DetA": detection,
            "AssA": association,
            "LocA": np.where(self.tp > 0, self.similarity / tp, 1.0),
            "DetRe": recall,
            "DetPr": self.tp / np.maximum(1, self.tp + self.fp),
            "AssRe": self.association_recall / tp,
            "AssPr": self.association_precision / tp,
            "OWTA": np.sqrt(recall * association),
        }

    def scores(self) -> dict[str, float]:
        """Each score averaged over the thresholds."""
        return {name: float(curve.mean()) for name, curve in self.curves().items()}


def hota_counts(sequence: MOTSequence) -> HOTACounts:
    """HOTA of one sequence.

    Matching (section 5.2): a global alignment of each pair of tracks is computed from all frames; every
    frame is then assigned to maximise the sum of alignment times similarity, once for all thresholds.
    """
    pairs, (truth, prediction) = sequence.pairs, sequence.track_pairs.T
    truth_lengths, prediction_lengths = sequence.truth_lengths()[truth], sequence.prediction_lengths()[prediction]
    potential = np.bincount(sequence.tracks, _frame_jaccard(sequence), minlength=len(truth))  # (K,)
    alignment = potential / (truth_lengths + prediction_lengths - potential)  # (K,)
    score = alignment[sequence.tracks] * pairs.similarity  # (M,)
    chosen = assign(pairs, score, sequence.truth_frames, sequence.prediction_frames)
    similarity, tracks = pairs.similarity[chosen], sequence.tracks[chosen]

    level = np.searchsorted(ALPHAS - EPS, similarity, side="right")  # thresholds that the match passes
    bins = len(ALPHAS) + 1
    tpa = np.bincount(tracks * bins + level, minlength=len(truth) * bins).reshape(-1, bins)
    tpa = _from_above(tpa)  # (K, 19) matches of two tracks at each threshold
    tp = tpa.sum(0)
    return HOTACounts(
        tp=tp,
        fp=sequence.num_predictions - tp,
        fn=sequence.num_truth - tp,
        similarity=_from_above(np.bincount(level, similarity, minlength=bins)[None])[0],
        association=(tpa * tpa / (truth_lengths + prediction_lengths - tpa.T).T).sum(0),
        association_recall=(tpa * tpa / truth_lengths[:, None]).sum(0),
        association_precision=(tpa * tpa / prediction_lengths[:, None]).sum(0),
    )


def _frame_jaccard(sequence: MOTSequence) -> np.ndarray:
    """(M,) similarity of each pair over all the similarity that its two boxes have in the frame."""
    pairs = sequence.pairs
    of_truth = np.bincount(pairs.truth, pairs.similarity, minlength=sequence.num_truth)
    of_prediction = np.bincount(pairs.prediction, pairs.similarity, minlength=sequence.num_predictions)
    total = of_truth[pairs.truth] + of_prediction[pairs.prediction] - pairs.similarity
    return pairs.similarity / np.maximum(total, EPS)


def _from_above(histogram: np.ndarray) -> np.ndarray:
    """(K, 19) from (K, 20): how many (or how much) reach at least level 1, 2, ... 19."""
    return histogram[:, :0:-1].cumsum(1)[:, ::-1]
