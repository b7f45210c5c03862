"""Random windows: crops of a size, crops that keep objects (SSD), and expansion (SSD)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...structures import Clip, Frame
from .base import FrameTransform
from .geometry import GREY, Fill, crop_frame, pad_frame

Window = tuple[int, int, int, int]


class RandomCrop(FrameTransform):
    """A window of a size drawn from `low` to `high` (height, width), as large as the picture allows.

    With `keep_objects` a window without the centre of any object of the key frame is drawn again,
    up to ten times; then the clip stays as it is.
    """

    def __init__(self, low: tuple[int, int], high: tuple[int, int] | None = None, keep_objects: bool = True) -> None:
        self.low, self.high, self.keep_objects = low, high or low, keep_objects

    def draw(self, clip: Clip, rng: np.random.Generator) -> Window | None:
        key = clip[clip.key]
        for _ in range(10):
            window = self._window(key.size, rng)
            if not self.keep_objects or key.instances is None or not len(key.instances):
                return window
            if _holds_centres(key.instances.boxes.numpy(), window).any():
                return window
        return None

    def _window(self, size: tuple[int, int], rng: np.random.Generator) -> Window:
        height, width = (
            min(int(rng.integers(low, high + 1)), side) for low, high, side in zip(self.low, self.high, size)
        )
        x, y = int(rng.integers(size[1] - width + 1)), int(rng.integers(size[0] - height + 1))
        return x, y, x + width, y + height

    def apply(self, frame: Frame, parameters: Window) -> Frame:
        return crop_frame(frame, parameters)


class MinIoUCrop(FrameTransform):
    """SSD's crop (https://arxiv.org/abs/1512.02325, section 2.2).

    A window of 0.3 to 1 of each side, of ratio 1/2 to 2, which overlaps every kept object with at least a
    drawn IoU; objects whose centre is outside of it are dropped. One outcome of the draw is no crop.
    """

    def __init__(self, ious: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9), min_side: float = 0.3) -> None:
        self.ious, self.min_side = tuple(ious), min_side

    def draw(self, clip: Clip, rng: np.random.Generator) -> Window | None:
        key = clip[clip.key]
        boxes = np.zeros((0, 4)) if key.instances is None else key.instances.boxes.numpy()
        height, width = key.size
        for _ in range(20):
            least = (None, 0.0, *self.ious)[int(rng.integers(len(self.ious) + 2))]
            if least is None:
                return None
            for _ in range(50):
                h, w = rng.uniform(self.min_side, 1) * height, rng.uniform(self.min_side, 1) * width
                if not 0.5 <= h / w <= 2:
                    continue
                x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
                window = (int(x), int(y), int(x + w), int(y + h))
                if not len(boxes) or self._fits(boxes, window, least):
                    return window
        return None

    @staticmethod
    def _fits(boxes: np.ndarray, window: Window, least: float) -> bool:
        inside = _holds_centres(boxes, window)
        return bool(inside.any()) and float(_ious(boxes, window)[inside].min()) >= least

    def apply(self, frame: Frame, parameters: Window) -> Frame:
        if frame.instances is not None and len(frame.instances):
            inside = _holds_centres(frame.instances.boxes.numpy(), parameters)
            kept = frame.instances[torch.from_numpy(inside)]
            frame = replace(frame, instances=kept)
        return crop_frame(frame, parameters)


class Expand(FrameTransform):
    """SSD's zoom out: the picture on a canvas of up to `ratio` times its sides, with a probability."""

    def __init__(self, ratio: tuple[float, float] = (1.0, 4.0), probability: float = 0.5, fill: Fill = GREY) -> None:
        self.ratio, self.probability, self.fill = ratio, probability, fill

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int]] | None:
        if rng.random() >= self.probability:
            return None
        height, width = clip[clip.key].size
        ratio = rng.uniform(*self.ratio)
        size = int(height * ratio), int(width * ratio)
        return (int(rng.uniform(0, size[1] - width + 1)), int(rng.uniform(0, size[0] - height + 1))), size

    def apply(self, frame: Frame, parameters: tuple[tuple[int, int], tuple[int, int]]) -> Frame:
        return pad_frame(frame, *parameters, self.fill)


def _holds_centres(boxes: np.ndarray, window: Window) -> np.ndarray:
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return (x > window[0]) & (x < window[2]) & (y > window[1]) & (y < window[3])


def _ious(boxes: np.ndarray, window: Window) -> np.ndarray:
    """IoU of each box with the window, (N,)."""
    corner = np.asarray(window, dtype=float)
    sides = np.clip(np.minimum(boxes[:, 2:], corner[2:]) - np.maximum(boxes[:, :2], corner[:2]), 0, None)
    overlap = sides.prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return overlap / np.maximum(areas + (corner[2:] - corner[:2]).prod() - overlap, 1e-9)
