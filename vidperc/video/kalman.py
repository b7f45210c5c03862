"""Kalman filters of constant velocity for boxes, all tracks at once.

Where noise is independent per coordinate, so is the filter: each coordinate is a (position, velocity) pair with a
2x2 covariance, and predict and update are closed-form arithmetic on (N, coordinate) arrays. A filter's state of N
tracks is one array (N, 5, C): position, velocity, variance of the position, covariance, variance of the velocity.
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
        """The state (N, 5, C) of tracks that start at `boxes`, at rest."""
        coordinates = self.encode(boxes)
        state = np.zeros((len(boxes), 5, coordinates.shape[1]))
        state[:, POSITION] = coordinates
        state[:, VARIANCE], state[:, VELOCITY_VARIANCE] = self.initial_variance(coordinates)
        return state

    def predict(self, state: Floats, dt: float | Floats = 1.0) -> Floats:
        """The state `dt` units of time later (a unit is what the noise is tuned for: a frame), a number or (N, 1).

        Noise accumulates as in `dt` single steps, so with constant noise two steps of 1 equal one of 2.
        """
        position, velocity, variance, covariance, velocity_variance = state.swapaxes(0, 1)
        noise, velocity_noise = self.process_variance(position)
        out = np.empty_like(state)
        unit = not isinstance(dt, np.ndarray) and dt == 1.0
        step = velocity if unit else velocity * dt
        spread = velocity_variance if unit else velocity_variance * dt
        np.add(position, step, out=out[:, POSITION])
        out[:, VELOCITY] = velocity
        np.add(covariance, spread, out=out[:, COVARIANCE])
        total = covariance + out[:, COVARIANCE]
        if not unit:
            total *= dt
            noise = noise * dt + velocity_noise * (dt * (dt - 1.0) * (2.0 * dt - 1.0) / 6.0)
            out[:, COVARIANCE] += velocity_noise * (dt * (dt - 1.0) / 2.0)
            velocity_noise = velocity_noise * dt
        total += variance
        np.add(total, noise, out=out[:, VARIANCE])
        np.add(velocity_variance, velocity_noise, out=out[:, VELOCITY_VARIANCE])
        self._keep_positive(out, position)
        return out

    def _keep_positive(self, out: Floats, before: Floats) -> None:
        """A size that would shrink to nothing stays as it was, at rest (Bewley 2016 does so for the area)."""
        for k in self.positive:
            gone = out[:, POSITION, k] <= 0.0
            if np.count_nonzero(gone):
                out[gone, POSITION, k] = before[gone, k]
                out[gone, VELOCITY, k] = 0.0

    def update(self, state: Floats, boxes: Floats) -> Floats:
        """The state after track i of (N, 5, C) has been seen at box i of (N, 4)."""
        return self.update_coordinates(state, self.encode(boxes))

    def update_coordinates(self, state: Floats, coordinates: Floats) -> Floats:
        """As `update`, from coordinates (N, C)."""
        position, velocity, variance, covariance, velocity_variance = state.swapaxes(0, 1)
        total = variance + self.measurement_variance(position)
        gain, velocity_gain = variance / total, covariance / total
        surprise = coordinates - position
        rest = 1.0 - gain
        out = np.empty_like(state)
        np.add(position, gain * surprise, out=out[:, POSITION])
        np.add(velocity, velocity_gain * surprise, out=out[:, VELOCITY])
        np.multiply(variance, rest, out=out[:, VARIANCE])
        np.multiply(covariance, rest, out=out[:, COVARIANCE])
        np.subtract(velocity_variance, velocity_gain * covariance, out=out[:, VELOCITY_VARIANCE])
        return out

    def distance(self, state: Floats, boxes: Floats, coordinates: int = 4) -> Floats:
        """Squared Mahalanobis distance of every box (M, 4) to every track, over the first coordinates: (N, M)."""
        total = state[:, VARIANCE] + self.measurement_variance(state[:, POSITION])
        seen = self.encode(boxes)
        out = np.zeros((len(state), len(boxes)))
        for k in range(coordinates):
            difference = seen[None, :, k] - state[:, POSITION, k, None]
            difference *= difference
            difference /= total[:, k, None]
            out += difference
        return out

    def boxes(self, state: Floats) -> Floats:
        """The boxes (N, 4) xyxy of the state."""
        return self.decode(state[:, POSITION])


class AreaRatioFilter(BoxFilter):
    """SORT's filter: centre, area, aspect ratio w/h (Bewley et al. 2016); the ratio has no velocity."""

    positive = (2,)
    INITIAL = (np.full(4, 10.0), np.array([1e4, 1e4, 1e4, 0.0]))
    PROCESS = (np.ones(4), np.array([1e-2, 1e-2, 1e-4, 0.0]))
    MEASUREMENT = np.array([1.0, 1.0, 10.0, 10.0])

    def encode(self, boxes: Floats) -> Floats:
        low, high = boxes[:, :2], boxes[:, 2:]
        size = high - low
        out = np.empty_like(boxes)
        np.multiply(low + high, 0.5, out=out[:, :2])
        np.multiply(size[:, 0], size[:, 1], out=out[:, 2])
        np.divide(size[:, 0], size[:, 1], out=out[:, 3])
        return out

    def decode(self, coordinates: Floats) -> Floats:
        area, ratio = coordinates[:, 2], coordinates[:, 3]
        width = np.sqrt(area * ratio)
        half = np.empty((len(coordinates), 2))
        np.multiply(width, 0.5, out=half[:, 0])
        np.divide(area, width, out=half[:, 1])
        half[:, 1] *= 0.5
        return _corners(coordinates[:, :2], half)

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

    def __init__(self, position_weight: float = 1 / 20, velocity_weight: float = 1 / 160) -> None:
        scale = np.array([1.0, 1.0, 0.0, 1.0])
        p, v = position_weight**2 * scale, velocity_weight**2 * scale
        self._initial = ((4 * p, np.array([0, 0, 1e-4, 0])), (100 * v, np.array([0, 0, 1e-10, 0])))
        self._process = ((p, np.array([0, 0, 1e-4, 0])), (v, np.array([0, 0, 1e-10, 0])))
        self._measurement = (p, np.array([0, 0, 1e-2, 0]))

    def encode(self, boxes: Floats) -> Floats:
        low, high = boxes[:, :2], boxes[:, 2:]
        size = high - low
        out = np.empty_like(boxes)
        np.multiply(low + high, 0.5, out=out[:, :2])
        np.divide(size[:, 0], size[:, 1], out=out[:, 2])
        out[:, 3] = size[:, 1]
        return out

    def decode(self, coordinates: Floats) -> Floats:
        half = coordinates[:, 2:] * 0.5
        half[:, 0] *= coordinates[:, 3]
        return _corners(coordinates[:, :2], half)

    def initial_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        return self._both(self._initial, coordinates)

    def process_variance(self, coordinates: Floats) -> tuple[Floats, Floats]:
        return self._both(self._process, coordinates)

    def measurement_variance(self, coordinates: Floats) -> Floats:
        scale, offset = self._measurement
        return np.square(coordinates[:, 3:]) * scale + offset

    @staticmethod
    def _both(terms: tuple[tuple[Floats, Floats], tuple[Floats, Floats]], coordinates: Floats) -> tuple[Floats, Floats]:
        squared = np.square(coordinates[:, 3:])
        (scale, offset), (velocity_scale, velocity_offset) = terms
        return squared * scale + offset, squared * velocity_scale + velocity_offset


class SizeFilter(BoxFilter):
    """BoT-SORT's filter: centre, width, height; noise in proportion to the width for x and w, the height for y and h.

    Aharon et al. 2022, section 3.1, with DeepSORT's weights.
    """

    positive = (2, 3)

    def __init__(self, position_weight: float = 1 / 20, velocity_weight: float = 1 / 160) -> None:
        self._position, self._velocity = position_weight**2, velocity_weight**2

    def encode(self, boxes: Floats) -> Floats:
        low, high = boxes[:, :2], boxes[:, 2:]
        out = np.empty_like(boxes)
        np.multiply(low + high, 0.5, out=out[:, :2])
        np.subtract(high, low, out=out[:, 2:])
        return out

    def decode(self, coordinates: Floats) -> Floats:
        return _corners(coordinates[:, :2], coordinates[:, 2:] * 0.5)

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
        return np.square(coordinates[:, [2, 3, 2, 3]])


def _corners(centre: Floats, half: Floats) -> Floats:
    out = np.empty((len(centre), 4))
    np.subtract(centre, half, out=out[:, :2])
    np.add(centre, half, out=out[:, 2:])
    return out
