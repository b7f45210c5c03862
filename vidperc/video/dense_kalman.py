"""A Kalman filter of constant velocity whose coordinates depend on each other, as camera motion makes them."""

from __future__ import annotations

import numpy as np

from .kalman import Floats, SizeFilter

SPLIT = SizeFilter()
WIDTH_VELOCITY, HEIGHT_VELOCITY = 6, 7


class DenseSizeFilter:
    """BoT-SORT's filter (Aharon et al. 2022, section 3.1): centre, width, height and their velocities.

    The state of N tracks is (N, 8, 9): the mean (8,) in the last column, the covariance (8, 8) before it. Noise is
    that of `SizeFilter`, and so are the results as long as the state is not warped.
    """

    def initiate(self, boxes: Floats) -> Floats:
        """The state (N, 8, 9) of tracks that start at `boxes`, at rest."""
        coordinates = SPLIT.encode(boxes)
        state = np.zeros((len(boxes), 8, 9))
        state[:, :4, 8] = coordinates
        diagonal = np.arange(8)
        state[:, diagonal, diagonal] = np.concatenate(SPLIT.initial_variance(coordinates), 1)
        return state

    def predict(self, state: Floats, dt: float = 1.0) -> Floats:
        """The state `dt` frame intervals later; a size that would vanish stays as it was, at rest."""
        step = np.eye(8) + dt * np.eye(8, k=4)
        out = np.empty_like(state)
        out[:, :, 8] = state[:, :, 8] @ step.T
        out[:, :, :8] = step @ state[:, :, :8] @ step.T
        diagonal = np.arange(8)
        out[:, diagonal, diagonal] += dt * np.concatenate(SPLIT.process_variance(state[:, :4, 8]), 1)
        for k in SPLIT.positive:
            gone = out[:, k, 8] <= 0.0
            out[gone, k, 8], out[gone, k + 4, 8] = state[gone, k, 8], 0.0
        return out

    def update(self, state: Floats, boxes: Floats) -> Floats:
        """The state after track i of (N, 8, 9) has been seen at box i of (N, 4)."""
        mean, covariance = state[:, :, 8], state[:, :, :8]
        total = covariance[:, :4, :4].copy()
        diagonal = np.arange(4)
        total[:, diagonal, diagonal] += SPLIT.measurement_variance(mean[:, :4])
        gain = np.linalg.solve(total, covariance[:, :4, :]).transpose(0, 2, 1)  # (N, 8, 4)
        surprise = SPLIT.encode(boxes) - mean[:, :4]
        out = np.empty_like(state)
        out[:, :, 8] = mean + (gain @ surprise[:, :, None])[:, :, 0]
        out[:, :, :8] = covariance - gain @ covariance[:, :4, :]
        return out

    def warp(self, state: Floats, warp: Floats) -> Floats:
        """The state after the camera moved: positions by the affine (2, 3), sizes and velocities by its linear part."""
        turn = np.kron(np.eye(4), warp[:, :2])  # (8, 8)
        out = np.empty_like(state)
        out[:, :, 8] = state[:, :, 8] @ turn.T
        out[:, :2, 8] += warp[:, 2]
        out[:, :, :8] = turn @ state[:, :, :8] @ turn.T
        for k in SPLIT.positive:  # a strong rotation must not turn a size inside out
            out[:, k, 8] = np.where(out[:, k, 8] > 0.0, out[:, k, 8], state[:, k, 8])
        return out

    def boxes(self, state: Floats) -> Floats:
        """The boxes (N, 4) xyxy of the state."""
        return SPLIT.decode(state[:, :4, 8])
