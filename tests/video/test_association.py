"""Overlaps and assignment against brute force."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from vidperc.video.association import (
    SWEEP_FROM,
    aligned_iou,
    assign,
    assign_most,
    iou_matrix,
    solve,
    touching_pairs,
    unmatched,
)


def test_iou_by_hand():
    a = np.array([[0.0, 0, 2, 2], [10, 10, 12, 14]])
    b = np.array([[1.0, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]])
    assert np.allclose(iou_matrix(a, b), [[1 / 7, 1, 0], [0, 0, 0]])


def test_iou_of_nothing():
    assert iou_matrix(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)


def best_total(gain, allowed):
    """Greatest total gain over all ways to pair, tried one by one."""
    value = np.where(allowed, gain, 0.0)
    if value.shape[0] > value.shape[1]:
        value = value.T
    rows = range(value.shape[0])
    return max(sum(value[r, c] for r, c in zip(rows, p)) for p in permutations(range(value.shape[1]), len(rows)))


@pytest.mark.parametrize("seed", range(60))
def test_assign_is_optimal(seed):
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 6, 2)
    gain = rng.uniform(0, 1, shape) ** 3
    allowed = rng.random(shape) < rng.uniform(0.2, 1)
    rows, columns = assign(gain, allowed)
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    assert allowed[rows, columns].all()
    assert gain[rows, columns].sum() == pytest.approx(best_total(gain, allowed))


@pytest.mark.parametrize("size", [30, 60, 150])
def test_assign_of_crowds_equals_a_full_solver(size):
    rng = np.random.default_rng(size)
    centres = rng.uniform(0, 40 * size**0.5, (size, 2))
    a = np.concatenate((centres, centres + 50), 1)
    b = np.concatenate((a[: size - 7] + rng.normal(0, 8, (size - 7, 4)), a[:3] + 20))
    overlap = iou_matrix(a, b)
    rows, columns = assign(overlap, overlap > 0)
    r, c = linear_sum_assignment(-overlap)
    assert overlap[rows, columns].sum() == pytest.approx(overlap[r, c].sum(), rel=1e-12)
    assert len(rows) == np.count_nonzero(overlap[r, c])


def test_equal_rivals_are_paired_once():
    gain = np.ones((2, 1))
    rows, columns = assign(gain, gain > 0)
    assert len(rows) == len(columns) == 1


def test_assign_most_prefers_number_over_cost():
    cost = np.array([[0.0, 1.0], [1.0, 5.0]])
    rows, columns = assign_most(cost, np.array([[True, True], [True, False]]))
    assert set(zip(rows, columns)) == {(0, 1), (1, 0)}
    rows, columns = assign_most(cost, np.array([[True, False], [True, False]]))
    assert set(zip(rows, columns)) == {(0, 0)}


@pytest.mark.parametrize("shape", [(50, 70), (70, 50), (60, 60), (60, 58), (5, 8), (3, 3000)])
def test_solvers_agree(shape):
    cost = np.random.default_rng(0).random(shape)
    rows, columns = solve(cost)
    assert len(rows) == min(shape)
    assert cost[rows, columns].sum() == pytest.approx(cost[linear_sum_assignment(cost)].sum())


def test_unmatched():
    assert unmatched(5, np.array([3, 0])).tolist() == [1, 2, 4]


@pytest.mark.parametrize("count", [0, 1, 7, 120])
def test_touching_pairs_are_those_that_overlap(count):
    """Few boxes, and enough for the sweep, against all pairs."""
    rng = np.random.default_rng(count)
    a, b = (np.concatenate((low, low + rng.uniform(1, 60, low.shape)), 1) for low in rng.uniform(0, 300, (2, count, 2)))
    b = b[: count * 3 // 4]
    expected = iou_matrix(a, b)
    assert (expected.size >= SWEEP_FROM) == (count == 120)
    touching = touching_pairs(np.asfortranarray(a), b)
    found = np.zeros(expected.shape)
    found[touching.rows, touching.columns] = touching.overlap
    assert np.array_equal(found, expected)
    assert (touching.overlap > 0).all()
    assert np.array_equal(aligned_iou(a[touching.rows], b[touching.columns]), touching.overlap)
