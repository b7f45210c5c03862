"""Kalman filters of constant velocity for boxes, all tracks at once.

Where noise is independent per coordinate, so is the filter: each coordinate is a (position, velocity) pair with a
2x2 covariance, and predict and update are closed-form arithmetic on (N, coordinate) arrays. A filter's state of N
tracks is one array (N, C, 5): position, velocity, variance of the position, covariance, variance of the velocity.

States, coordinates and boxes made here lie in memory in Fortran order: all positions are contiguous, and among them
each coordinate of all tracks, so that the loops of numpy are few and long. Other orders are as good, but slower.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

POSITION, VELOCITY, VARIANCE, COVARIANCE, VELOCITY_VARIANCE = range(5)


class BoxFilter(ABC):
    """A constant-velocity filter over C = 4 independent coordinates of a box. Holds no state of its own."""

    positive: tuple[int, ...]  # coordinates that must stay above zero: sizes
    size_powers: tuple[int, int]  # with which the coordinates after the centre grow when the picture is made larger

    @abstractmethod
    def encode(self, boxes: Floats) -> Floats:
        """Boxes (N, 4) xyxy as the filter's coordinates (N, C)."""

    @abstractmethod
    def decode(self, coordinates: Floats) -> Floats:
        """The inverse of `encode`."""

    @abstractmethod
    def initial_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        """Variances of position and velocity of a new track, broadcastable to (N, C)."""

    @abstractmethod
    def process_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        """Variances that one unit of time adds to position and velocity."""

    @abstractmethod
    def measurement_variance(self, coordinates: Floats) -> Floats:
        """Variance of a detection's coordinates, broadcastable to (N, C)."""

    def initiate(self, boxes: Floats) -> Floats:
        """The state (N, C, 5) of tracks that start at `boxes`, at rest."""
        coordinates = self.encode(boxes)
        out = np.zeros((5, *coordinates.T.shape))
        out[POSITION] = coordinates.T
        variance, velocity_variance = self.initial_variance(coordinates)
        out[VARIANCE], out[VELOCITY_VARIANCE] = variance.T, velocity_variance.T
        return out.T

    def predict(self, state: Floats, dt: float | Floats = 1.0) -> Floats:
        """The state `dt` units of time later (a unit is what the noise is tuned for: a frame), a number or (N, 1).

        Noise accumulates as in `dt` single steps, so with constant noise two steps of 1 equal one of 2.
        """
        out = state.T.copy()
        self._predict(out, dt if isinstance(dt, np.ndarray) else float(dt))
        return out.T

    def _predict(self, state: Floats, dt: float | Floats) -> None:
        """As `predict`, of a state (5, C, N) in place."""
        before = state[POSITION : VELOCITY + 1].copy()
        noise, velocity_noise = self.process_variance(before[POSITION].T)
        noise, velocity_noise = noise.T, velocity_noise.T
        total = state[COVARIANCE].copy()
        if isinstance(dt, float) and dt == 1.0:
            state[POSITION::COVARIANCE] += state[VELOCITY::COVARIANCE]  # the covariance by the velocity's variance
            total += state[COVARIANCE]
        else:
            dt = dt.T if isinstance(dt, np.ndarray) else dt
            state[POSITION] += state[VELOCITY] * dt
            state[COVARIANCE] += state[VELOCITY_VARIANCE] * dt
            total += state[COVARIANCE]
            total *= dt
            noise = noise * dt + velocity_noise * (dt * (dt - 1.0) * (2.0 * dt - 1.0) / 6.0)
            state[COVARIANCE] += velocity_noise * (dt * (dt - 1.0) / 2.0)
            velocity_noise = velocity_noise * dt
        state[VARIANCE] += total
        state[VARIANCE] += noise
        state[VELOCITY_VARIANCE] += velocity_noise
        for k in self.positive:  # a size that would shrink to nothing stays, at rest (Bewley 2016 does so for the area)
            gone = state[POSITION, k] <= 0.0
            if np.count_nonzero(gone):
                state[POSITION, k, gone] = before[POSITION, k, gone]
                state[VELOCITY, k, gone] = 0.0

    def update(self, state: Floats, boxes: Floats) -> Floats:
        """The state after track i of (N, C, 5) has been seen at box i of (N, 4)."""
        return self.update_coordinates(state, self.encode(boxes))

    def update_coordinates(self, state: Floats, coordinates: Floats) -> Floats:
        """As `update`, from coordinates (N, C)."""
        out = state.T.copy()
        self._update(out, coordinates.T)
        return out.T

    def _update(self, state: Floats, coordinates: Floats) -> None:
        """As `update_coordinates`, of a state (5, C, N) in place, from coordinates (C, N)."""
        total = state[VARIANCE] + self.measurement_variance(state[POSITION].T).T
        gains = state[VARIANCE : COVARIANCE + 1] / total  # (2, C, N) of position and velocity
        state[: VELOCITY + 1] += gains * (coordinates - state[POSITION])
        state[VELOCITY_VARIANCE] -= gains[1] * state[COVARIANCE]
        state[VARIANCE : COVARIANCE + 1] *= 1.0 - gains[0]

    def follow(self, state: Floats, coordinates: Floats, counts: NDArray[np.int64], dt: float | Floats = 1.0) -> Floats:
        """The state after a row of steps, in each of which it is predicted and then updated.

        Args:
            state: of N tracks, (N, C, 5), in descending order of their counts.
            coordinates: (S, N, C) of each step.
            counts: (N,) steps that a track is updated in; it is predicted once more. The greatest is S.
            dt: time of a step, a number or (N, 1).
        """
        out = state.T.copy()
        for step in range(len(coordinates) + 1):
            going, seen = np.count_nonzero(counts >= step), np.count_nonzero(counts > step)
            self._predict(out[..., :going], dt[:going] if isinstance(dt, np.ndarray) else dt)
            if seen:
                self._update(out[..., :seen], coordinates[step, :seen].T)
        return out.T

    def distance(self, state: Floats, boxes: Floats, coordinates: int = 4) -> Floats:
        """Squared Mahalanobis distance of every box (M, 4) to every track, over the first coordinates: (N, M)."""
        position, seen = state[..., POSITION].T, self.encode(boxes).T
        total = state[..., VARIANCE].T + self.measurement_variance(position.T).T
        out = np.zeros((len(state), len(boxes)))
        for k in range(coordinates):
            difference = seen[k] - position[k][:, None]
            difference *= difference
            difference /= total[k][:, None]
            out += difference
        return out

    def boxes(self, state: Floats) -> Floats:
        """The boxes (N, 4) xyxy of the state."""
        return self.decode(state[..., POSITION])

    def warp(self, state: Floats, warp: Floats) -> Floats:
        """The state after the camera moved: centres and their velocities by the affine (2, 3), sizes by its scale.

        Exact for a shift, a rotation and one scale: x and y have the same variances in filters whose `size_powers`
        are given, so a rotation leaves those as they are.
        """
        turn = warp[:, :2]
        scale = float(np.sqrt(abs(turn[0, 0] * turn[1, 1] - turn[0, 1] * turn[1, 0])))
        factors = np.array([scale, scale, *(scale**power for power in self.size_powers)])[:, None]
        out = state.T.copy()  # (5, C, N)
        out[VARIANCE:] *= factors**2
        out[: VELOCITY + 1] *= factors
        out[POSITION, :2] = turn @ state.T[POSITION, :2] + warp[:, 2:]
        out[VELOCITY, :2] = turn @ state.T[VELOCITY, :2]
        return out.T


class AreaRatioFilter(BoxFilter):
    """SORT's filter: centre, area, aspect ratio w/h (Bewley et al. 2016); the ratio has no velocity."""

    positive = (2,)
    size_powers = (2, 0)
    INITIAL = (np.full((1, 4), 10.0), np.array([[1e4, 1e4, 1e4, 0.0]]))
    PROCESS = (np.ones((1, 4)), np.array([[1e-2, 1e-2, 1e-4, 0.0]]))
    MEASUREMENT = np.array([[1.0, 1.0, 10.0, 10.0]])

    def encode(self, boxes: Floats) -> Floats:
        low, high = boxes.T[:2], boxes.T[2:]
        size = high - low
        out = np.empty((4, len(boxes)))
        np.multiply(low + high, 0.5, out=out[:2])
        np.multiply(size[0], size[1], out=out[2])
        np.divide(size[0], size[1], out=out[3])
        return out.T

    def decode(self, coordinates: Floats) -> Floats:
        area, ratio = coordinates[:, 2], coordinates[:, 3]
        width = np.sqrt(area * ratio)
        half = np.empty((2, len(coordinates)))
        np.multiply(width, 0.5, out=half[0])
        np.divide(area, width, out=half[1])
        half[1] *= 0.5
        return _corners(coordinates.T[:2], half)

    def initial_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        return self.INITIAL

    def process_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        return self.PROCESS

    def measurement_variance(self, coordinates: Floats) -> Floats:
        return self.MEASUREMENT


class AspectHeightFilter(BoxFilter):
    """DeepSORT's and ByteTrack's filter: centre, aspect ratio w/h, height; noise in proportion to the height.

    Weights of Wojke et al. 2017: 1/20 of the height for positions, 1/160 for velocities.
    """

    positive = (3,)
    size_powers = (0, 1)

    def __init__(self, position_weight: float = 1 / 20, velocity_weight: float = 1 / 160) -> None:
        scale, aspect = np.array([[1.0], [1.0], [0.0], [1.0]]), np.array([[0.0], [0.0], [1.0], [0.0]])
        p, v = position_weight**2 * scale, velocity_weight**2 * scale
        # factors of the squared height, and what is added: (2, 4, 1), for position and velocity
        self._initial = np.array([4 * p, 100 * v]), np.array([1e-4 * aspect, 1e-10 * aspect])
        self._process = np.array([p, v]), np.array([1e-4 * aspect, 1e-10 * aspect])
        self._measurement = p, 1e-2 * aspect

    def encode(self, boxes: Floats) -> Floats:
        low, high = boxes.T[:2], boxes.T[2:]
        size = high - low
        out = np.empty((4, len(boxes)))
        np.multiply(low + high, 0.5, out=out[:2])
        np.divide(size[0], size[1], out=out[2])
        out[3] = size[1]
        return out.T

    def decode(self, coordinates: Floats) -> Floats:
        half = coordinates.T[2:] * 0.5
        half[0] *= coordinates[:, 3]
        return _corners(coordinates.T[:2], half)

    def initial_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        return self._both(self._initial, coordinates)

    def process_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        return self._both(self._process, coordinates)

    def measurement_variance(self, coordinates: Floats) -> Floats:
        scale, offset = self._measurement
        out = scale * np.square(coordinates[:, 3])
        out += offset
        return out.T

    @staticmethod
    def _both(terms: tuple[Floats, Floats], coordinates: Floats) -> tuple[Floats, Floats]:
        out = terms[0] * np.square(coordinates[:, 3])  # (2, 4, N)
        out += terms[1]
        return out[0].T, out[1].T


class SizeFilter(BoxFilter):
    """BoT-SORT's filter: centre, width, height; noise in proportion to the width for x and w, the height for y and h.

    Aharon et al. 2022, section 3.1, with DeepSORT's weights.
    """

    positive = (2, 3)
    size_powers = (1, 1)

    def __init__(self, position_weight: float = 1 / 20, velocity_weight: float = 1 / 160) -> None:
        self._position, self._velocity = position_weight**2, velocity_weight**2

    def encode(self, boxes: Floats) -> Floats:
        low, high = boxes.T[:2], boxes.T[2:]
        out = np.empty((4, len(boxes)))
        np.multiply(low + high, 0.5, out=out[:2])
        np.subtract(high, low, out=out[2:])
        return out.T

    def decode(self, coordinates: Floats) -> Floats:
        return _corners(coordinates.T[:2], coordinates.T[2:] * 0.5)

    def initial_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        squared = self._squared(coordinates)
        return squared * (4 * self._position), squared * (100 * self._velocity)

    def process_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        squared = self._squared(coordinates)
        return squared * self._position, squared * self._velocity

    def measurement_variance(self, coordinates: Floats) -> Floats:
        return self._squared(coordinates) * self._position

    @staticmethod
    def _squared(coordinates: Floats) -> Floats:
        return np.square(coordinates.T[[2, 3, 2, 3]]).T


def _corners(centre: Floats, half: Floats) -> Floats:
    """Boxes (N, 4) of centres (2, N) and half sizes (2, N)."""
    out = np.empty((4, centre.shape[1]))
    np.subtract(centre, half, out=out[:2])
    np.add(centre, half, out=out[2:])
    return out.T
