"""Offline refinement against formulas worked out another way."""

import numpy as np
import pytest
import torch

from vidperc.structures import Instances
from vidperc.video.kalman import AreaRatioFilter, AspectHeightFilter, SizeFilter
from vidperc.video.refine import gaussian_smooth, interpolate, kalman_smooth, refine, to_instances, to_rows


def track(frames, key=1, speed=4.0, noise=0.0, seed=0):
    frames = np.asarray(frames, float)
    x = 10 + speed * frames
    rows = np.stack((frames, np.full(len(frames), key), x, x * 0 + 20, x + 30, x * 0 + 80, x * 0 + 0.9), 1)
    rows[:, 2:6] += np.random.default_rng(seed).normal(0, noise, (len(frames), 4)) if noise else 0.0
    return rows


def test_gaps_are_filled_by_lines():
    rows = track([0, 1, 2, 6, 7])
    assert np.allclose(interpolate(rows, max_gap=3), track(range(8)))
    assert np.allclose(interpolate(rows, max_gap=2), rows)


def test_tracks_are_independent_and_order_does_not_matter():
    rows = np.concatenate((track([0, 3], key=2), track([1, 4], key=1, speed=-2)))
    out = interpolate(rows[::-1])
    assert out[:, :2].tolist() == [[0, 2], [1, 1], [1, 2], [2, 1], [2, 2], [3, 1], [3, 2], [4, 1]]
    assert np.allclose(out[out[:, 1] == 1], track(range(1, 5), key=1, speed=-2))


def test_short_tracks_can_be_left():
    assert len(interpolate(track([0, 4]), min_length=3)) == 2


@pytest.mark.parametrize("kalman", [SizeFilter(), AspectHeightFilter(), AreaRatioFilter()])
def test_smoothing_is_the_textbooks(kalman):
    """Rauch-Tung-Striebel with matrices, and no sample at frames 4 and 5."""
    rows = track([0, 1, 2, 3, 6, 7, 8], noise=2.0)
    out = kalman_smooth(rows, kalman=kalman)
    states, predictions = [kalman.initiate(rows[:1, 2:6])], [None]
    f = np.eye(8) + np.eye(8, k=4)

    def matrices(state):
        state = state[0].T
        p = np.block([[np.diag(state[2]), np.diag(state[3])], [np.diag(state[3]), np.diag(state[4])]])
        return np.concatenate((state[0], state[1])), p

    seen = {int(row[0]): row[None, 2:6] for row in rows}
    for k in range(1, 9):
        predictions.append(kalman.predict(states[-1]))
        states.append(kalman.update(predictions[-1], seen[k]) if k in seen else predictions[-1])
    mean, _ = matrices(states[-1])
    expected = [mean[:4]]
    for k in range(7, -1, -1):
        m, p = matrices(states[k])
        mp, pp = matrices(predictions[k + 1])
        mean = m + p @ f.T @ np.linalg.pinv(pp) @ (mean - mp)
        expected.append(mean[:4])
    expected = kalman.decode(np.array(expected[::-1]))
    assert out[:, 0].tolist() == list(range(9))
    assert np.allclose(out[:, 2:6], expected, atol=1e-6)


@pytest.mark.parametrize("smooth", [kalman_smooth, gaussian_smooth])
def test_smoothing_comes_nearer_to_the_truth(smooth):
    truth = track(range(60))
    noisy = track([k for k in range(60) if not 20 <= k < 26], noise=3.0)
    error = np.abs(noisy[:, 2:6] - truth[noisy[:, 0].astype(int), 2:6]).mean()
    out = smooth(noisy)
    assert len(out) == 60
    assert np.abs(out[:, 2:6] - truth[:, 2:6]).mean() < 0.7 * error


def test_gaussian_smoothing_is_the_posterior_mean():
    rows = track(range(6), noise=2.0)
    out = gaussian_smooth(rows, tau=10.0)
    length = 10 * np.log(1000 / 6)
    k = np.exp(-0.5 * (np.subtract.outer(range(6), range(6)) / length) ** 2)
    x = (rows[:, 2] + rows[:, 4]) / 2
    k *= x.var()
    noise = np.diag((rows[:, 5] - rows[:, 3]) / 20) ** 2
    expected = k @ np.linalg.inv(k + noise) @ (x - x.mean()) + x.mean()
    assert np.allclose((out[:, 2] + out[:, 4]) / 2, expected)


@pytest.mark.parametrize("method", [interpolate, gaussian_smooth, kalman_smooth])
def test_nothing_and_one_row(method):
    assert method(np.zeros((0, 7))).shape == (0, 7)
    assert np.allclose(method(track([5])), track([5]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((3, 6)), r"expected \(R, 7\)"),
        (track([0, 0]), "id 1 is twice in frame 0"),
        (np.full((1, 7), np.nan), "row 0 is not finite"),
    ],
)
def test_bad_rows(rows, message):
    with pytest.raises(ValueError, match=message):
        interpolate(rows)


def test_reports_to_rows_and_back():
    rows = np.concatenate((track([0, 1, 2], key=3), track([1], key=5)))
    reports = to_instances(rows, 4)
    assert [len(report) for report in reports] == [1, 2, 1, 0]
    assert np.allclose(to_rows(reports), rows[np.lexsort((rows[:, 1], rows[:, 0]))])


def test_refining_reports_keeps_labels():
    box = torch.tensor([[0.0, 0, 10, 10]])
    make = lambda x: Instances(box + x, torch.tensor([7]), torch.tensor([0.5]), ids=torch.tensor([4]))  # noqa: E731
    out = refine([make(0), Instances(boxes=box[:0], ids=torch.zeros(0, dtype=torch.int64)), make(4)])
    assert out[1].boxes.tolist() == [[2, 2, 12, 12]]
    assert [report.labels.tolist() for report in out] == [[7]] * 3
    assert out[1].ids.tolist() == [4]
    with pytest.raises(ValueError, match="frame 0: tracks without ids"):
        refine([Instances(boxes=box)])
