"""Camera motion: the affine warp from one picture to the next, and boxes moved along with it.

A warp is (2, 3): a point (x, y) of the previous picture is at warp @ (x, y, 1) in the current one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..structures import Frame

Floats = NDArray[np.float64]
Gray = NDArray[Any]  # uint8 or float32

STILL: Floats = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
MODELS = {"translation": cv2.MOTION_TRANSLATION, "euclidean": cv2.MOTION_EUCLIDEAN, "affine": cv2.MOTION_AFFINE}


@dataclass(slots=True)
class CameraMotionState:
    """What is remembered of the previous picture, at the size that is worked at."""

    gray: Gray | None = None  # (h, w)


class CameraMotion(ABC):
    """Estimates how the camera moved between two frames. Pictures are made smaller by `downscale` first."""

    def __init__(self, downscale: float = 2.0) -> None:
        if downscale < 1.0:
            raise ValueError(f"downscale: expected at least 1, got {downscale}")
        self.downscale = downscale

    def init_state(self) -> CameraMotionState:
        """The state before the first frame."""
        return CameraMotionState()

    def estimate(self, frame: Frame, state: CameraMotionState, ignored: Floats | None = None) -> Floats:
        """The warp (2, 3) from the previous frame to this one.

        `STILL` for the first frame, after a change of size, and where the pictures do not tell.

        Args:
            frame: the next frame.
            state: changed in place.
            ignored: boxes (N, 4) of moving objects, from which no points are taken (where the method uses points).
        """
        gray = self._gray(frame)
        before, state.gray = state.gray, gray
        if before is None or before.shape != gray.shape:
            return STILL.copy()
        height, width = frame.size
        scale = np.array([gray.shape[1] / width, gray.shape[0] / height])
        mask = _mask(gray.shape, None if ignored is None else ignored * np.tile(scale, 2))
        warp = self._estimate(before, gray, mask)
        if warp is None or not np.isfinite(warp).all():
            return STILL.copy()
        # from pixels of the small pictures to pixels of the frame
        warp = warp.astype(np.float64)
        warp[:, :2] *= scale[None, :] / scale[:, None]
        warp[:, 2] /= scale
        return warp

    @abstractmethod
    def _estimate(self, before: Gray, after: Gray, mask: Gray) -> NDArray | None:
        """The warp between two gray pictures of one size, None where it cannot be told."""

    def _gray(self, frame: Frame) -> Gray:
        gray = cv2.cvtColor(frame.array.astype(np.uint8, copy=False), cv2.COLOR_RGB2GRAY)
        if self.downscale > 1.0:
            size = [max(round(side / self.downscale), 16) for side in (gray.shape[1], gray.shape[0])]
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
        return np.asarray(gray)


class ECCMotion(CameraMotion):
    """Enhanced correlation coefficient of the whole pictures (Evangelidis and Psarakis 2008)."""

    def __init__(
        self,
        downscale: float = 2.0,
        model: Literal["translation", "euclidean", "affine"] = "euclidean",
        iterations: int = 100,
        precision: float = 1e-5,
    ) -> None:
        super().__init__(downscale)
        self.model, self.iterations, self.precision = MODELS[model], iterations, precision

    def _estimate(self, before: Gray, after: Gray, mask: Gray) -> NDArray | None:
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, self.iterations, self.precision)
        start = STILL.astype(np.float32)
        try:
            # The warp that fetches, for each point of `before`, its value in `after`: previous to current.
            _, warp = cv2.findTransformECC(before, after, start, self.model, criteria, None, 1)  # type: ignore[call-overload]
        except cv2.error:  # it did not converge
            return None
        return np.asarray(warp)


class ORBMotion(CameraMotion):
    """Matched ORB features outside the objects, RANSAC (Rublee et al. 2011)."""

    def __init__(self, downscale: float = 2.0, features: int = 1000, ratio: float = 0.75) -> None:
        super().__init__(downscale)
        self.features, self.ratio = features, ratio

    def _estimate(self, before: Gray, after: Gray, mask: Gray) -> NDArray | None:
        orb = cv2.ORB.create(self.features, fastThreshold=10)
        a, a_codes = orb.detectAndCompute(before, None)
        b, b_codes = orb.detectAndCompute(after, mask)
        if a_codes is None or b_codes is None or len(a) < 4 or len(b) < 4:
            return None
        pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(a_codes, b_codes, k=2)
        good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < self.ratio * pair[1].distance]
        source = np.array([a[match.queryIdx].pt for match in good], np.float32).reshape(-1, 2)
        target = np.array([b[match.trainIdx].pt for match in good], np.float32).reshape(-1, 2)
        return _fit(source, target)


class SparseFlowMotion(CameraMotion):
    """Corners outside the objects followed by pyramidal Lucas-Kanade, RANSAC: BoT-SORT's default."""

    def __init__(self, downscale: float = 2.0, corners: int = 1000, quality: float = 0.01) -> None:
        super().__init__(downscale)
        self.corners, self.quality = corners, quality

    def _estimate(self, before: Gray, after: Gray, mask: Gray) -> NDArray | None:
        points = cv2.goodFeaturesToTrack(after, self.corners, self.quality, 1, mask=mask, blockSize=3)
        if points is None or len(points) < 4:
            return None
        # followed backwards, so that the objects of this frame can be left out
        origins, found, _ = cv2.calcOpticalFlowPyrLK(after, before, points, None)  # type: ignore[call-overload]
        kept = found.ravel() == 1
        return _fit(origins.reshape(-1, 2)[kept], points.reshape(-1, 2)[kept])


def warp_boxes(boxes: Floats, warp: Floats) -> Floats:
    """Boxes (N, 4) moved along with the camera: their corners are warped (Tracktor), the result is upright."""
    x, y = boxes.T[::2], boxes.T[1::2]  # (2, N) each
    out = np.empty((4, len(boxes)))
    out[::2] = warp[0, 0] * x + warp[0, 1] * y + warp[0, 2]
    out[1::2] = warp[1, 0] * x + warp[1, 1] * y + warp[1, 2]
    return out.T


def _fit(source: NDArray, target: NDArray) -> NDArray | None:
    """Shift, rotation and one scale from point pairs, the outliers left out; None with too few."""
    if len(source) < 4:
        return None
    warp, inliers = cv2.estimateAffinePartial2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=2.0)
    if warp is None or int(inliers.sum()) < 4:
        return None
    return np.asarray(warp)


def _mask(shape: tuple[int, ...], boxes: Floats | None) -> Gray:
    """255 where points may be taken: not at the border, not on the boxes."""
    height, width = shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[round(0.02 * height) : round(0.98 * height), round(0.02 * width) : round(0.98 * width)] = 255
    if boxes is not None:
        for x1, y1, x2, y2 in np.clip(boxes, 0, [width, height, width, height]).astype(int):
            mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    return mask
