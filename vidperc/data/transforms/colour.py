"""Photometric distortion: brightness, contrast, saturation, hue and channel order, the same in all frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...structures import Clip, Frame
from .base import FrameTransform
from .geometry import with_picture


@dataclass(frozen=True)
class _Light:
    brightness: float
    contrast_first: bool
    contrast: float
    saturation: float
    hue: float
    channels: tuple[int, ...]


class PhotometricDistortion(FrameTransform):
    """SSD's (https://arxiv.org/abs/1512.02325): each change with probability 1/2, contrast before or after colour.

    Args:
        brightness: largest shift, of 255.
        contrast, saturation: ranges of the factors.
        hue: largest shift in degrees.
        shuffle: probability with which the channels change places.
    """

    def __init__(
        self,
        brightness: float = 32,
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: float = 18,
        shuffle: float = 0.5,
    ) -> None:
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue, self.shuffle = hue, shuffle

    def draw(self, clip: Clip, rng: np.random.Generator) -> _Light:
        def maybe(low: float, high: float, neutral: float) -> float:
            value = float(rng.uniform(low, high))
            return value if rng.random() < 0.5 else neutral

        return _Light(
            brightness=maybe(-self.brightness, self.brightness, 0),
            contrast_first=bool(rng.random() < 0.5),
            contrast=maybe(*self.contrast, 1),
            saturation=maybe(*self.saturation, 1),
            hue=maybe(-self.hue, self.hue, 0),
            channels=tuple(rng.permutation(3).tolist()) if rng.random() < self.shuffle else (0, 1, 2),
        )

    def apply(self, frame: Frame, parameters: _Light) -> Frame:
        # Where all steps are linear in a channel they are one look-up.
        picture, light = frame.array, parameters
        first = light.contrast if light.contrast_first else 1.0
        last = 1.0 if light.contrast_first else light.contrast
        picture = _linear(picture, first, first * light.brightness)
        if light.saturation != 1 or light.hue != 0:
            picture = _recolour(picture, light.saturation, light.hue)
        picture = _linear(picture, last, 0)
        if light.channels != (0, 1, 2):
            picture = picture[:, :, list(light.channels)]
        return with_picture(frame, picture)


class HSVJitter(FrameTransform):
    """Hue, saturation and value shifted by whole steps, each with probability 1/2 (YOLOX).

    Args:
        hue: largest shift in half degrees.
        saturation, value: largest shifts, of 255.
    """

    def __init__(self, hue: float = 5, saturation: float = 30, value: float = 30) -> None:
        self.largest = (hue, saturation, value)

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[int, int, int]:
        shifts = rng.uniform(-1, 1, 3) * self.largest * rng.integers(0, 2, 3)
        hue, saturation, value = (int(shift) for shift in shifts)
        return hue, saturation, value

    def apply(self, frame: Frame, parameters: tuple[int, int, int]) -> Frame:
        hue, saturation, value = parameters
        steps = np.arange(256)
        tables = np.stack(
            [(steps + hue) % 180, np.clip(steps + saturation, 0, 255), np.clip(steps + value, 0, 255)], axis=1
        )
        return with_picture(frame, _look_up_hsv(frame.array, tables))


def _linear(picture: np.ndarray, factor: float, shift: float) -> np.ndarray:
    if factor == 1 and shift == 0:
        return picture
    if picture.dtype != np.uint8:
        return np.clip(picture * factor + shift, 0, 255).astype(picture.dtype)
    table = np.clip(np.rint(np.arange(256) * factor + shift), 0, 255).astype(np.uint8)
    return cv2.LUT(picture, table)


def _recolour(picture: np.ndarray, saturation: float, hue: float) -> np.ndarray:
    steps = np.arange(256)
    hues, saturations = (steps + round(hue / 2)) % 180, np.clip(np.rint(steps * saturation), 0, 255)
    return _look_up_hsv(picture, np.stack([hues, saturations, steps], axis=1))


def _look_up_hsv(picture: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """Every pixel's hue (in half degrees), saturation and value exchanged by tables (256, 3)."""
    hsv = cv2.cvtColor(picture.astype(np.uint8), cv2.COLOR_RGB2HSV)
    return cv2.cvtColor(cv2.LUT(hsv, tables.astype(np.uint8)[None]), cv2.COLOR_HSV2RGB).astype(picture.dtype)
