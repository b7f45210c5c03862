"""Sizes of training images: fixed, one of several, any in a range, and large-scale jitter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...structures import Clip, Frame
from .base import FrameTransform
from .geometry import GREY, Fill, crop_frame, flip_frame, pad_frame, resize_frame

Scale = tuple[int, int]  # (longer, shorter) side with the ratio kept, else (width, height)


def fitted_size(size: tuple[int, int], scale: Scale, keep_ratio: bool = True) -> tuple[int, int]:
    """(height, width) of a picture of `size` (height, width) fitted into a scale."""
    if not keep_ratio:
        return scale[1], scale[0]
    height, width = size
    factor = min(max(scale) / max(size), min(scale) / min(size))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


class Resize(FrameTransform):
    """To one of some scales, drawn per clip."""

    def __init__(self, scales: Sequence[Scale] | Scale, keep_ratio: bool = True) -> None:
        one = len(scales) == 2 and all(isinstance(side, int | np.integer) for side in scales)
        self.scales: list[Scale] = [tuple(scales)] if one else list(scales)  # type: ignore[arg-type, list-item]
        self.keep_ratio = keep_ratio

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[int, int]:
        scale = self.scales[int(rng.integers(len(self.scales)))]
        return fitted_size(clip[clip.key].size, scale, self.keep_ratio)

    def apply(self, frame: Frame, parameters: tuple[int, int]) -> Frame:
        return resize_frame(frame, parameters)


class ResizeRange(FrameTransform):
    """To any scale between two, longer and shorter side drawn each from their range."""

    def __init__(self, low: Scale, high: Scale, keep_ratio: bool = True) -> None:
        self.low, self.high, self.keep_ratio = low, high, keep_ratio

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[int, int]:
        sides = [sorted((low, high)) for low, high in zip(self.low, self.high)]
        scale = tuple(int(rng.integers(low, high + 1)) for low, high in sides)
        return fitted_size(clip[clip.key].size, scale, self.keep_ratio)  # type: ignore[arg-type]

    def apply(self, frame: Frame, parameters: tuple[int, int]) -> Frame:
        return resize_frame(frame, parameters)


class Flip(FrameTransform):
    """Mirrored with a probability, left-right or upside down."""

    def __init__(self, probability: float = 0.5, horizontal: bool = True) -> None:
        self.probability, self.horizontal = probability, horizontal

    def draw(self, clip: Clip, rng: np.random.Generator) -> bool | None:
        return True if rng.random() < self.probability else None

    def apply(self, frame: Frame, parameters: bool) -> Frame:
        return flip_frame(frame, self.horizontal)


class LargeScaleJitter(FrameTransform):
    """Fitted into `size` times a factor, then cropped or padded to `size` (https://arxiv.org/abs/2012.07177)."""

    def __init__(self, size: tuple[int, int], factors: tuple[float, float] = (0.1, 2.0), fill: Fill = GREY) -> None:
        self.size, self.factors, self.fill = size, factors, fill

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[tuple[int, int], float, float]:
        factor = rng.uniform(*self.factors)
        scaled = max(int(self.size[0] * factor), 2), max(int(self.size[1] * factor), 2)  # (height, width)
        height, width = clip[clip.key].size
        ratio = min(scaled[0] / height, scaled[1] / width)
        return (max(int(height * ratio), 1), max(int(width * ratio), 1)), rng.random(), rng.random()

    def apply(self, frame: Frame, parameters: tuple[tuple[int, int], float, float]) -> Frame:
        resized, u, v = parameters
        frame = resize_frame(frame, resized)
        height, width = frame.size
        x, y = int(u * max(width - self.size[1] + 1, 1)), int(v * max(height - self.size[0] + 1, 1))
        window = (x, y, min(x + self.size[1], width), min(y + self.size[0], height))
        if window != (0, 0, width, height):
            frame = crop_frame(frame, window)
        return pad_frame(frame, (0, 0), self.size, self.fill)
