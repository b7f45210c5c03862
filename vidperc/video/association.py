"""Association: overlaps of boxes and the assignment of detections to tracks, as arrays."""

from __future__ import annotations

import lap
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Pairs = tuple[Ints, Ints]  # rows and columns of the matched pairs

LAP_FROM = 40  # objects from which lapjv overtakes scipy (measured: 9 / 7 us at 50, 34 / 16 at 100, 330 / 127 at 300)
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


def assign(gain: Floats, allowed: Bools) -> Pairs:
    """`assign_pairs` for the allowed entries of a matrix of gains, both (N, M)."""
    width = gain.shape[1]
    flat = allowed.ravel().nonzero()[0]
    if not flat.size:
        return NO_PAIRS, NO_PAIRS
    rows = flat // width
    return assign_pairs(rows, flat - rows * width, gain.ravel().take(flat), gain.shape)


def assign_pairs(rows: Ints, columns: Ints, gain: Floats, shape: tuple[int, ...]) -> Pairs:
    """The one-to-one pairs among the given ones with the greatest total gain.

    Gains must not be negative; a pair is made whenever it adds to the total. A pair that gains more than all its
    rivals, in its row and its column, together is in every optimum, since putting it in place of the two that keep
    it out never loses. Such pairs are taken at once and only the others solved for.

    Args:
        rows, columns, gain: (P,) the possible pairs, each once.
        shape: number of rows and of columns.
    """
    count, width = shape
    # gain > (row total - gain) + (column total - gain)
    totals = np.bincount(rows, gain, count).take(rows) + np.bincount(columns, gain, width).take(columns)
    sure = gain * 3.0 > totals
    sure_rows, sure_columns = rows[sure], columns[sure]
    if len(sure_rows) == len(rows):
        return rows, columns
    row_open, column_open = np.ones(count, bool), np.ones(width, bool)
    row_open[sure_rows], column_open[sure_columns] = False, False
    contested = row_open.take(rows) & column_open.take(columns)
    if not np.count_nonzero(contested):
        return sure_rows, sure_columns
    r, c = _solve_block(rows[contested], columns[contested], gain[contested], shape)
    return np.concatenate((sure_rows, r)), np.concatenate((sure_columns, c))


def _solve_block(rows: Ints, columns: Ints, gain: Floats, shape: tuple[int, ...]) -> Pairs:
    """`assign_pairs` by the solver, on the rows and columns that occur."""
    block_rows, row_of = _distinct(rows, shape[0])
    block_columns, column_of = _distinct(columns, shape[1])
    block = np.full((len(block_rows), len(block_columns)), np.inf)
    block[row_of.take(rows), column_of.take(columns)] = -gain
    made = block < np.inf
    r, c = solve(np.where(made, block, 0.0))
    made = made[r, c]
    return block_rows[r[made]], block_columns[c[made]]


def assign_most(cost: Floats, allowed: Bools) -> Pairs:
    """As many allowed one-to-one pairs as possible and, among those, the least total cost (costs >= 0)."""
    if not cost.size:
        return NO_PAIRS, NO_PAIRS
    cost = np.where(allowed, cost, 0.0)
    # A pair more must outweigh any saving: no matching costs more than min(N, M) times the greatest cost.
    bonus = 1.0 + (min(cost.shape) + 1) * float(cost.max())
    return assign(bonus - cost, allowed)


def solve(cost: Floats) -> Pairs:
    """The complete one-to-one assignment of least total cost, by the solver that is faster at this size."""
    if max(cost.shape) < LAP_FROM:
        return linear_sum_assignment(cost)
    _, column_of, _ = lap.lapjv(cost, extend_cost=cost.shape[0] != cost.shape[1])
    rows = (column_of >= 0).nonzero()[0]
    return rows, column_of[rows].astype(np.int64)


def unmatched(count: int, matched: Ints) -> Ints:
    """The indices below `count` that are not in `matched`, in order."""
    rest = np.ones(count, bool)
    rest[matched] = False
    return rest.nonzero()[0]


def _distinct(indices: Ints, count: int) -> Pairs:
    """The indices that occur, in order, and for each number below `count` its place among them."""
    seen = np.zeros(count, np.int64)
    seen[indices] = 1
    return seen.nonzero()[0], seen.cumsum() - 1
