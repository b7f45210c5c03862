"""The split filters against the textbook's matrices, one track at a time."""

import numpy as np
import pytest

from vidperc.video.kalman import AreaRatioFilter, AspectHeightFilter, SizeFilter

FILTERS = [AreaRatioFilter(), AspectHeightFilter(), SizeFilter()]
NAMES = ["area_ratio", "aspect_height", "size"]


def boxes(count, seed=0):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 500, (count, 2))
    return np.concatenate((low, low + rng.uniform(20, 90, (count, 2))), 1)


def matrices(state):
    """(mean (2C,), covariance (2C, 2C)) of one track's (C, 5) state."""
    state = state.T
    covariance = np.block([[np.diag(state[2]), np.diag(state[3])], [np.diag(state[3]), np.diag(state[4])]])
    return np.concatenate((state[0], state[1])), covariance


@pytest.mark.parametrize("kalman", FILTERS, ids=NAMES)
def test_encode_decode(kalman):
    x = boxes(7)
    assert np.allclose(kalman.decode(kalman.encode(x)), x)


@pytest.mark.parametrize("kalman", FILTERS, ids=NAMES)
def test_predict_and_update_are_the_matrix_equations(kalman):
    state = kalman.initiate(boxes(3))
    for k in range(1, 5):
        z = boxes(3) + 3 * k
        predicted = kalman.predict(state)
        updated = kalman.update(predicted, z)
        for i in range(3):
            mean, covariance = matrices(state[i])
            f = np.eye(8) + np.eye(8, k=4)
            q = np.concatenate([np.broadcast_to(v, (3, 4))[i] for v in kalman.process_variance(state[..., 0])])
            mean, covariance = f @ mean, f @ covariance @ f.T + np.diag(q)
            expected = matrices(predicted[i])
            assert np.allclose(mean, expected[0])
            assert np.allclose(covariance, expected[1])
            h = np.eye(4, 8)
            r = np.diag(np.broadcast_to(kalman.measurement_variance(predicted[..., 0]), (3, 4))[i])
            gain = covariance @ h.T @ np.linalg.inv(h @ covariance @ h.T + r)
            mean = mean + gain @ (kalman.encode(z)[i] - h @ mean)
            covariance = (np.eye(8) - gain @ h) @ covariance
            expected = matrices(updated[i])
            assert np.allclose(mean, expected[0])
            assert np.allclose(covariance, expected[1])
        state = updated


def test_a_long_step_is_many_short_ones():
    kalman = AreaRatioFilter()
    state = kalman.update(kalman.predict(kalman.initiate(boxes(4))), boxes(4) + 2)
    steps = state
    for _ in range(5):
        steps = kalman.predict(steps)
    assert np.allclose(kalman.predict(state, 5.0), steps)


@pytest.mark.parametrize("kalman", FILTERS, ids=NAMES)
def test_no_time_changes_nothing(kalman):
    state = kalman.update(kalman.predict(kalman.initiate(boxes(4))), boxes(4) + 2)
    assert np.array_equal(kalman.predict(state, 0.0), state)


@pytest.mark.parametrize("kalman", FILTERS, ids=NAMES)
def test_sizes_stay_positive(kalman):
    state = kalman.initiate(boxes(2))
    for k in kalman.positive:
        state[0, k, 1] = -2 * state[0, k, 0]
    for _ in range(5):
        state = kalman.predict(state)
        x = kalman.boxes(state)
        assert np.isfinite(x).all()
        assert (x[:, 2:] > x[:, :2]).all()


def test_mahalanobis_distance():
    kalman = AspectHeightFilter()
    state = kalman.predict(kalman.initiate(boxes(3)))
    z = boxes(2, seed=1)
    found = kalman.distance(state, z)
    for i in range(3):
        s = np.diag(state[i, :, 2] + kalman.measurement_variance(state[..., 0])[i])
        for j in range(2):
            d = kalman.encode(z)[j] - state[i, :, 0]
            assert found[i, j] == pytest.approx(d @ np.linalg.inv(s) @ d)


@pytest.mark.parametrize("kalman", FILTERS[1:], ids=NAMES[1:])
def test_a_picture_twice_as_large_and_turned_round(kalman):
    """Noise in proportion to the size: the same in a larger picture, where everything is twice as far apart."""
    turn = np.array([[-2.0, 0.0, 900.0], [0.0, -2.0, 700.0]])

    def turned(x):
        return (x @ np.kron(np.eye(2), turn[:, :2]) + np.tile(turn[:, 2], 2))[:, [2, 3, 0, 1]]

    state = kalman.update(kalman.predict(kalman.initiate(boxes(4))), boxes(4) + 2)
    other = kalman.update(kalman.predict(kalman.initiate(turned(boxes(4)))), turned(boxes(4) + 2))
    assert np.allclose(kalman.warp(state, turn), other)


def test_following_is_predicting_and_updating():
    """Three tracks that are updated in two, one and no steps."""
    kalman = AreaRatioFilter()
    start = kalman.update(kalman.predict(kalman.initiate(boxes(3))), boxes(3) + 1)
    steps = [kalman.encode(boxes(3) + 2), kalman.encode(boxes(3) + 4)]
    once = kalman.predict(start)
    twice = kalman.predict(kalman.update_coordinates(once, steps[0]))
    thrice = kalman.predict(kalman.update_coordinates(twice, steps[1]))
    expected = np.stack((thrice[0], twice[1], once[2]))
    assert np.array_equal(kalman.follow(start, np.stack(steps), np.array([2, 1, 0])), expected)
