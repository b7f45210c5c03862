"""Association: overlaps of boxes and the assignment of detections to tracks, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import lap
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Pairs = tuple[Ints, Ints]  # rows and columns of the matched pairs

LAP_FROM = 40  # objects from which lapjv overtakes scipy (measured: 8 / 7 us at 40, 165 / 77 at 100, 783 / 350 at 200)
LAP_SIDES = 0.95  # of the longer side: lapjv squares the matrix (62 / 113 us at 100 x 90, 31 / 779 us at 500 x 25)
SWEEP_FROM = 2000  # pairs of boxes from which a sweep is faster (measured: 13 / 18 us at 400, 74 / 29 us at 10,000)
NO_PAIRS = np.zeros(0, np.int64)


def iou_matrix(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every box of a (N, 4) with every box of b (M, 4), both xyxy: (N, M).

    Boxes must have an area; a pair that does not touch has exactly 0.
    """
    a, b = a.T.copy(), b.T.copy()  # coordinates first: the inner loops of numpy run over boxes
    size = np.minimum(a[2:, :, None], b[2:, None, :])  # (2, N, M)
    size -= np.maximum(a[:2, :, None], b[:2, None, :])
    np.maximum(size, 0.0, out=size)
    overlap = size[0]
    overlap *= size[1]
    a_size, b_size = a[2:] - a[:2], b[2:] - b[:2]
    union = (a_size[0] * a_size[1])[:, None] + b_size[0] * b_size[1]
    union -= overlap
    overlap /= union
    return overlap


def aligned_iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of box i of a (N, 4) with box i of b (N, 4): (N,)."""
    a, b = a.T, b.T
    size = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0.0)
    overlap = size[0] * size[1]
    areas = [width * height for width, height in (a[2:] - a[:2], b[2:] - b[:2])]
    return overlap / (areas[0] + areas[1] - overlap)


@dataclass(slots=True)
class Touching:
    """The P pairs of a track and a detection that overlap at all, on which all associations of a frame work."""

    shape: tuple[int, int]  # number of tracks and of detections
    rows: Ints  # (P,) tracks, ascending
    columns: Ints  # (P,) detections
    overlap: Floats  # (P,) IoU

    def choose(self, gain: Floats, possible: Ints | None = None) -> Ints:
        """Which pairs to make for the greatest total `gain` (P,), each track and detection once: (K,) in 0..P.

        Args:
            gain: of every pair; that of the possible ones must be positive.
            possible: the pairs among which to choose, all where None; the gains then are theirs.
        """
        if possible is None:
            return choose_pairs(self.rows, self.columns, gain, self.shape)
        if not len(possible):
            return possible
        chosen = choose_pairs(self.rows.take(possible), self.columns.take(possible), gain, self.shape)
        return possible.take(chosen)

    def open(self, taken: Ints) -> Ints:
        """The pairs of which neither track nor detection is in a pair `taken`."""
        return open_pairs(self.rows, self.columns, taken, self.shape)


def touching_pairs(a: Floats, b: Floats) -> Touching:
    """All pairs of boxes of a (N, 4) and b (M, 4), both xyxy with an area, that overlap."""
    shape = len(a), len(b)
    if not shape[0] or not shape[1]:
        return Touching(shape, NO_PAIRS, NO_PAIRS, np.zeros(0))
    a, b = a.T, b.T
    a_size, b_size = a[2:] - a[:2], b[2:] - b[:2]
    rows, columns, overlap = _common_of_all(a, b) if shape[0] * shape[1] < SWEEP_FROM else _sweep(a, b, b_size)
    union = (a_size[0] * a_size[1]).take(rows) + (b_size[0] * b_size[1]).take(columns)
    union -= overlap
    overlap /= union
    return Touching(shape, rows, columns, overlap)


def _common_of_all(a: Floats, b: Floats) -> tuple[Ints, Ints, Floats]:
    """The pairs of boxes of a (4, N) and b (4, M) that overlap, and the area that they have in common."""
    size = np.minimum(a[2:, :, None], b[2:, None])  # (2, N, M)
    size -= np.maximum(a[:2, :, None], b[:2, None])
    np.maximum(size, 0.0, out=size)
    common = (size[0] * size[1]).ravel()
    index = common.nonzero()[0]
    rows = index // b.shape[1]
    return rows, index - rows * b.shape[1], common.take(index)


def _sweep(a: Floats, b: Floats, b_size: Floats) -> tuple[Ints, Ints, Floats]:
    """As `_common_of_all`, without a look at most pairs.

    With the boxes of b sorted by their left sides, those that may reach a box of a are a range, given the widest of b.
    """
    order = b[0].argsort()
    sides = b[0].take(order)
    first = sides.searchsorted(a[0] - b_size[0].max())
    counts = sides.searchsorted(a[2]) - first
    ends = counts.cumsum()
    rows = np.arange(a.shape[1]).repeat(counts)
    columns = order.take(np.arange(ends[-1]) - (ends - counts - first).repeat(counts))
    p, q = a.take(rows, 1), b.take(columns, 1)  # (4, K)
    size = np.minimum(p[2:], q[2:])
    size -= np.maximum(p[:2], q[:2])
    index = ((size[0] > 0.0) & (size[1] > 0.0)).nonzero()[0]
    return rows.take(index), columns.take(index), size[0].take(index) * size[1].take(index)


def assign(gain: Floats, allowed: Bools) -> Pairs:
    """`assign_pairs` for the allowed entries of a matrix of gains, both (N, M)."""
    width = gain.shape[1]
    flat = allowed.ravel().nonzero()[0]
    if not flat.size:
        return NO_PAIRS, NO_PAIRS
    rows = flat // width
    return assign_pairs(rows, flat - rows * width, gain.ravel().take(flat), gain.shape)


def assign_pairs(rows: Ints, columns: Ints, gain: Floats, shape: tuple[int, ...]) -> Pairs:
    """`choose_pairs`, as rows and columns."""
    chosen = choose_pairs(rows, columns, gain, shape)
    return rows.take(chosen), columns.take(chosen)


def choose_pairs(rows: Ints, columns: Ints, gain: Floats, shape: tuple[int, ...]) -> Ints:
    """Which of the given pairs to make, one to one, for the greatest total gain: (K,) in 0..P.

    Gains must not be negative; a pair is made whenever it adds to the total. A pair that gains more than all its
    rivals, in its row and its column, together is in every optimum, since putting it in place of the two that keep
    it out never loses. Such pairs are taken at once and only the others solved for.

    Args:
        rows, columns, gain: (P,) the possible pairs, each once.
        shape: number of rows and of columns.
    """
    count, width = shape
    # gain > (row total - gain) + (column total - gain)
    totals = np.bincount(rows, gain, count).take(rows)
    totals += np.bincount(columns, gain, width).take(columns)
    sure = gain * 3.0 > totals
    taken = sure.nonzero()[0]
    if len(taken) == len(rows):
        return taken
    contested = open_pairs(rows, columns, taken, shape)
    if not len(contested):
        return taken
    chosen = _solve_block(rows.take(contested), columns.take(contested), gain.take(contested), shape)
    return np.concatenate((taken, contested.take(chosen)))


def open_pairs(rows: Ints, columns: Ints, taken: Ints, shape: tuple[int, ...]) -> Ints:
    """The pairs (of rows and columns) of which neither is in one of the pairs `taken`: indices below P."""
    row_taken, column_taken = np.zeros(shape[0], bool), np.zeros(shape[1], bool)
    row_taken[rows.take(taken)] = True
    column_taken[columns.take(taken)] = True
    closed = row_taken.take(rows)
    closed |= column_taken.take(columns)
    return (~closed).nonzero()[0]


def _solve_block(rows: Ints, columns: Ints, gain: Floats, shape: tuple[int, ...]) -> Ints:
    """`choose_pairs` by the solver, on the rows and columns that occur."""
    block_rows, row_of = _distinct(rows, shape[0])
    block_columns, column_of = _distinct(columns, shape[1])
    r, c = row_of.take(rows), column_of.take(columns)
    cost = np.zeros((len(block_rows), len(block_columns)))
    place = np.full(cost.shape, -1)  # of the pair in the list
    cost[r, c] = -gain
    place[r, c] = np.arange(len(rows))
    chosen = place[solve(cost)]
    return chosen[chosen >= 0]


def assign_most(cost: Floats, allowed: Bools) -> Pairs:
    """As many allowed one-to-one pairs as possible and, among those, the least total cost (costs >= 0)."""
    if not cost.size:
        return NO_PAIRS, NO_PAIRS
    cost = np.where(allowed, cost, 0.0)
    # A pair more must outweigh any saving: no matching costs more than min(N, M) times the greatest cost.
    bonus = 1.0 + (min(cost.shape) + 1) * float(cost.max())
    return assign(bonus - cost, allowed)


def solve(cost: Floats) -> Pairs:
    """The complete one-to-one assignment of least total cost, by the solver that is faster at this shape."""
    longer = max(cost.shape)
    if longer < LAP_FROM or min(cost.shape) < LAP_SIDES * longer:
        return linear_sum_assignment(cost)
    _, column_of, _ = lap.lapjv(cost, extend_cost=cost.shape[0] != cost.shape[1])
    rows = (column_of >= 0).nonzero()[0]
    return rows, column_of[rows].astype(np.int64)


def unmatched(count: int, matched: Ints) -> Ints:
    """The indices below `count` that are not in `matched`, in order."""
    taken = np.zeros(count, bool)
    taken[matched] = True
    return (~taken).nonzero()[0]


def _distinct(indices: Ints, count: int) -> Pairs:
    """The indices that occur, in order, and for each number below `count` its place among them."""
    seen = np.zeros(count, np.int64)
    seen[indices] = 1
    return seen.nonzero()[0], seen.cumsum() - 1
