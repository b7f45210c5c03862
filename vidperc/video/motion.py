"""Moving objects before a fixed camera, by background subtraction (Zivkovic, ICPR 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..sequence import SequenceModel
from ..structures import Frame, Instances, Video


@dataclass
class MotionState:
    """The background as learnt so far, and the size it was learnt at."""

    background: cv2.BackgroundSubtractorMOG2
    size: tuple[int, int] | None = None
    seen: int = 0


class MotionDetector(SequenceModel):
    """Whatever moves before a fixed camera, one object per connected region. Learns as it goes.

    Args:
        min_area: least area of an object as a fraction of the picture.
        history: frames over which the background is learnt.
        sensitivity: squared distance in standard deviations at which a pixel is foreground.
        warm_up: frames at the start that only teach the background.
        join: pixels over which parts of one object are joined, as a fraction of the height.
    """

    def __init__(
        self,
        *,
        min_area: float = 0.0005,
        history: int = 300,
        sensitivity: float = 16.0,
        warm_up: int = 2,
        join: float = 0.015,
    ) -> None:
        super().__init__()
        self.min_area, self.history, self.sensitivity = min_area, history, sensitivity
        self.warm_up, self.join = warm_up, join

    def init_state(self, video: Video | None = None) -> MotionState:
        return MotionState(self._background())

    def _background(self) -> cv2.BackgroundSubtractorMOG2:
        return cv2.createBackgroundSubtractorMOG2(self.history, self.sensitivity, detectShadows=True)

    def step(self, frame: Frame, state: MotionState) -> Instances:
        if state.size not in (None, frame.size):  # a cut to another picture: learn anew
            state.background, state.seen = self._background(), 0
        state.size = frame.size
        foreground = state.background.apply(frame.array)
        state.seen += 1
        if state.seen <= self.warm_up:
            return Instances.empty()
        return regions(self._clean(foreground), self.min_area * foreground.size)

    def _clean(self, foreground: np.ndarray) -> np.ndarray:
        """Without shadows and speckle, the parts of an object joined."""
        solid = np.where(foreground == 255, np.uint8(255), np.uint8(0))
        size = max(int(self.join * foreground.shape[0]) | 1, 3)
        solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return cv2.morphologyEx(solid, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, 2 * size)))


def regions(mask: np.ndarray, min_area: float) -> Instances:
    """The connected regions of a mask (H, W) of at least `min_area` pixels; the score is how full the box is."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    stats = stats[1:]
    stats = stats[stats[:, cv2.CC_STAT_AREA] >= min_area].astype(np.float32)
    boxes = np.stack([stats[:, 0], stats[:, 1], stats[:, 0] + stats[:, 2], stats[:, 1] + stats[:, 3]], axis=1)
    fullness = stats[:, cv2.CC_STAT_AREA] / np.maximum(stats[:, 2] * stats[:, 3], 1)
    return Instances(
        boxes=torch.from_numpy(boxes),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        scores=torch.from_numpy(fullness),
    )
