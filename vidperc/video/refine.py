"""Offline refinement of tracks: gaps filled, positions smoothed. Works on rows, whatever tracker made them.

Rows are an array (R, 7): frame, id, x1, y1, x2, y2, score, as `to_rows` makes them; boxes stay xyxy. Nothing here
can be done online: a row depends on later ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..structures import Instances
from .kalman import COVARIANCE, POSITION, VARIANCE, VELOCITY, VELOCITY_VARIANCE, BoxFilter, SizeFilter

Floats = NDArray[np.float64]
FRAME, ID, SCORE = 0, 1, 6
BOX = slice(2, 6)
NOISE = 1 / 20  # of a detection, as a fraction of its height


def interpolate(rows: Floats, max_gap: int = 20, min_length: int = 1) -> Floats:
    """Fill gaps by straight lines between the boxes before and after, scores too.

    Args:
        rows: (R, 7), in any order.
        max_gap: greatest number of missing frames that is filled (ByteTrack's 20).
        min_length: tracks of fewer rows are left as they are.

    Returns:
        The rows, sorted by frame and id, with those filled in.

    Raises:
        ValueError: rows of another shape or not finite, or an id twice in a frame.
    """
    return _per_track(rows, lambda track: _filled(track, max_gap) if len(track) >= min_length else track)


def gaussian_smooth(rows: Floats, max_gap: int = 20, tau: float = 10.0) -> Floats:
    """Gaussian-smoothed interpolation (GSI; Du et al. 2023, StrongSORT, section 3.4).

    Gaps are filled by straight lines; then every coordinate of a track is the posterior mean of a Gaussian process
    over the frames, about the coordinate's average and with its variance, a squared exponential kernel, and noise of
    a twentieth of the box's height, which is what the trackers' filters take it to be.

    Args:
        rows: (R, 7), in any order.
        max_gap: as for `interpolate`.
        tau: smoothness; the kernel's length is tau * log(tau^3 / length of the track), at least 1 and at most
            tau^2 frames.

    Raises:
        ValueError: as `interpolate`; tau not above 1.
    """
    if not tau > 1.0:
        raise ValueError(f"tau: expected more than 1, got {tau}")
    return _per_track(rows, lambda track: _gaussian(_filled(track, max_gap), tau))


def kalman_smooth(rows: Floats, max_gap: int = 20, kalman: BoxFilter | None = None) -> Floats:
    """Rauch-Tung-Striebel smoothing: each box given all boxes of its track, by the tracker's own filter.

    Gaps of up to `max_gap` frames are filled with what the filter knows of them; longer ones split the track.
    """
    chosen = kalman or SizeFilter()
    return _per_track(rows, lambda track: np.concatenate([_rts(run, chosen) for run in _runs(track, max_gap)]))


def to_rows(tracks: Sequence[Instances]) -> Floats:
    """Reports of a tracker, one per frame, as rows (R, 7) with frames counted from 0.

    Raises:
        ValueError: a report without ids.
    """
    parts = [np.zeros((0, 7))]
    for frame, report in enumerate(tracks):
        if report.ids is None:
            raise ValueError(f"frame {frame}: tracks without ids")
        out = np.ones((len(report), 7))
        out[:, FRAME], out[:, ID] = frame, report.ids.numpy()
        out[:, BOX] = report.boxes.numpy()
        if report.scores is not None:
            out[:, SCORE] = report.scores.numpy()
        parts.append(out)
    return np.concatenate(parts)


def to_instances(rows: Floats, length: int) -> list[Instances]:
    """Rows as one report per frame, for frames 0 to length - 1."""
    rows = _sorted(rows)
    bounds = np.searchsorted(rows[:, FRAME], np.arange(length + 1))
    return [
        Instances(
            boxes=torch.from_numpy(part[:, BOX].astype(np.float32)),
            scores=torch.from_numpy(part[:, SCORE].astype(np.float32)),
            ids=torch.from_numpy(part[:, ID].astype(np.int64)),
        )
        for part in (rows[a:b] for a, b in zip(bounds[:-1], bounds[1:]))
    ]


def refine(tracks: Sequence[Instances], method: Callable[[Floats], Floats] = interpolate) -> list[Instances]:
    """The reports of a whole video, refined: boxes, scores and ids; labels are those of the id."""
    labels: dict[int, int] = {}
    for report in tracks:
        if report.labels is not None and report.ids is not None:
            labels.update(zip(report.ids.tolist(), report.labels.tolist()))
    out = to_instances(method(to_rows(tracks)), len(tracks))
    for report in out:
        assert report.ids is not None
        report.labels = torch.tensor([labels.get(key, 0) for key in report.ids.tolist()], dtype=torch.int64)
    return out


def _per_track(rows: Floats, method: Callable[[Floats], Floats]) -> Floats:
    rows = _sorted(rows)
    parts = [rows[:0]] + [method(rows[rows[:, ID] == key]) for key in np.unique(rows[:, ID])]
    return _sorted(np.concatenate(parts))


def _sorted(rows: Floats) -> Floats:
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or rows.shape[1] != 7:
        raise ValueError(f"rows: expected (R, 7) of frame, id, x1, y1, x2, y2, score, got {rows.shape}")
    if not np.isfinite(rows).all():
        bad = int((~np.isfinite(rows)).any(1).nonzero()[0][0])
        raise ValueError(f"rows: row {bad} is not finite: {rows[bad].tolist()}")
    rows = rows[np.lexsort((rows[:, ID], rows[:, FRAME]))]
    twice = (np.diff(rows[:, :2], axis=0) == 0).all(1)
    if twice.any():
        frame, key = rows[1:][twice][0, :2]
        raise ValueError(f"rows: id {key:g} is twice in frame {frame:g}")
    return rows


def _runs(track: Floats, max_gap: int) -> list[Floats]:
    """The parts of a track between gaps of more than `max_gap` missing frames."""
    breaks = (np.diff(track[:, FRAME]) > max_gap + 1).nonzero()[0] + 1
    return np.split(track, breaks)


def _filled(track: Floats, max_gap: int) -> Floats:
    frames = track[:, FRAME]
    wanted = np.concatenate([np.arange(run[0, FRAME], run[-1, FRAME] + 1) for run in _runs(track, max_gap)])
    out = np.empty((len(wanted), 7))
    out[:, FRAME], out[:, ID] = wanted, track[0, ID]
    for k in range(2, 7):
        out[:, k] = np.interp(wanted, frames, track[:, k])
    return out


def _gaussian(track: Floats, tau: float) -> Floats:
    count = len(track)
    scale = float(np.clip(tau * np.log(tau**3 / count), 1.0, tau**2))
    time = track[:, FRAME]
    kernel = np.exp(-0.5 * ((time[:, None] - time) / scale) ** 2)
    low, high = track[:, 2:4], track[:, 4:6]
    coordinates = np.concatenate(((low + high) / 2, high - low), 1)
    mean, variance = coordinates.mean(0), np.maximum(coordinates.var(0), 1e-12)
    noise = (NOISE * (high - low)[:, 1]) ** 2
    smooth = np.empty_like(coordinates)
    for k in range(4):
        total = variance[k] * kernel
        weights = np.linalg.solve(total + np.diag(noise), coordinates[:, k] - mean[k])
        smooth[:, k] = total @ weights + mean[k]
    half = np.maximum(smooth[:, 2:], 0.0) / 2
    out = track.copy()
    out[:, 2:4], out[:, 4:6] = smooth[:, :2] - half, smooth[:, :2] + half
    return out


def _rts(run: Floats, kalman: BoxFilter) -> Floats:
    """One run of a track through the filter, and back (Rauch et al. 1965), coordinate by coordinate."""
    out = _filled(run, len(run) and int(run[-1, FRAME] - run[0, FRAME]))
    seen = np.isin(out[:, FRAME], run[:, FRAME])
    states = [kalman.initiate(out[:1, BOX])]
    predicted = [states[0]]
    for k in range(1, len(out)):
        predicted.append(kalman.predict(states[-1]))
        states.append(kalman.update(predicted[-1], out[k : k + 1, BOX]) if seen[k] else predicted[-1])
    smooth = states[-1]
    boxes = [kalman.boxes(smooth)]
    for k in range(len(out) - 2, -1, -1):
        smooth = _step_back(states[k], predicted[k + 1], smooth)
        boxes.append(kalman.boxes(smooth))
    out[:, BOX] = np.concatenate(boxes[::-1])
    return out


def _step_back(state: Floats, predicted: Floats, smooth: Floats) -> Floats:
    """The smoothed state at k from the filtered one at k, the prediction for k + 1 and the smoothed one there."""
    p00, p01, p11 = state[..., VARIANCE], state[..., COVARIANCE], state[..., VELOCITY_VARIANCE]
    q00, q01, q11 = predicted[..., VARIANCE], predicted[..., COVARIANCE], predicted[..., VELOCITY_VARIANCE]
    determinant = q00 * q11 - q01 * q01
    determinant = np.where(determinant > 0.0, determinant, np.inf)  # a coordinate without velocity: no gain in it
    # gain = P F^T (predicted covariance)^-1, with F = [[1, 1], [0, 1]]
    a, b = p00 + p01, p01
    c, d = p01 + p11, p11
    g00, g01 = (a * q11 - b * q01) / determinant, (b * q00 - a * q01) / determinant
    g10, g11 = (c * q11 - d * q01) / determinant, (d * q00 - c * q01) / determinant
    still = np.isinf(determinant)
    g00 = np.where(still & (q00 > 0), p00 / np.maximum(q00, 1e-300), g00)
    x, v = smooth[..., POSITION] - predicted[..., POSITION], smooth[..., VELOCITY] - predicted[..., VELOCITY]
    out = state.copy()
    out[..., POSITION] += g00 * x + g01 * v
    out[..., VELOCITY] += g10 * x + g11 * v
    return out
