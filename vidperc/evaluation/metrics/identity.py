"""Identity metrics: IDF1, IDP, IDR (Ristani et al., ECCV workshops 2016, https://arxiv.org/abs/1609.01775)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .sequence import MOTSequence


@dataclass(frozen=True, slots=True)
class IdentityCounts:
    """Boxes explained, and not, by the best one-to-one matching of whole tracks."""

    idtp: int
    idfp: int
    idfn: int

    def __add__(self, other: IdentityCounts) -> IdentityCounts:
        return IdentityCounts(self.idtp + other.idtp, self.idfp + other.idfp, self.idfn + other.idfn)

    def scores(self) -> dict[str, float]:
        """IDF1, IDP, IDR in [0, 1] (0 where undefined) and the counts."""
        truth, predictions = self.idtp + self.idfn, self.idtp + self.idfp
        return {
            "IDF1": 2 * self.idtp / max(1, truth + predictions),
            "IDP": self.idtp / max(1, predictions),
            "IDR": self.idtp / max(1, truth),
            "IDTP": self.idtp,
            "IDFP": self.idfp,
            "IDFN": self.idfn,
        }


def identity_counts(sequence: MOTSequence, threshold: float = 0.5) -> IdentityCounts:
    """The identity counts of one sequence: boxes of two tracks agree where their similarity is >= `threshold`.

    Section 3.1: the matching of tracks minimises IDFP + IDFN. As both are totals less IDTP, it is the
    matching with the most agreeing boxes.
    """
    agree = sequence.tracks[sequence.pairs.similarity >= threshold]
    weights = np.bincount(agree, minlength=len(sequence.track_pairs))  # (K,)
    used = weights > 0
    shape = (sequence.num_truth_ids, sequence.num_prediction_ids)
    idtp = _largest_matching(sequence.track_pairs[used], weights[used], shape)
    return IdentityCounts(idtp, sequence.num_predictions - idtp, sequence.num_truth - idtp)


def _largest_matching(edges: np.ndarray, weights: np.ndarray, shape: tuple[int, int]) -> int:
    """Weight of the heaviest one-to-one matching of (E, 2) edges, solved per connected component."""
    if len(edges) == 0:
        return 0
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1] + shape[0])), shape=(sum(shape),) * 2)
    component = connected_components(graph, directed=False)[1][edges[:, 0]]  # (E,)
    order = np.argsort(component, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    return sum(_solve(edges[part], weights[part]) for part in parts)


def _solve(edges: np.ndarray, weights: np.ndarray) -> int:
    if len(edges) == 1:
        return int(weights[0])
    rows, row = np.unique(edges[:, 0], return_inverse=True)
    columns, column = np.unique(edges[:, 1], return_inverse=True)
    matrix = np.zeros((len(rows), len(columns)))
    matrix[row, column] = weights
    return int(matrix[linear_sum_assignment(matrix, maximize=True)].sum())
