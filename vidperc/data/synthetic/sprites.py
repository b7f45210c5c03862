"""The objects of synthetic videos: one shape and one kind of texture per class, in colours of their own."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = ("disc", "square", "triangle", "star", "ring", "cross")
SUPERSAMPLING = 4
MARGIN = 0.06  # empty rim of a sprite, as a fraction of the radius, so that interpolation ends in alpha 0


def _regular(corners: int, radii: tuple[float, ...] = (1.0,)) -> np.ndarray:
    """A polygon around the origin whose corners take the radii in turn, the first one on top."""
    angles = np.arange(corners) * (2 * np.pi / corners) - np.pi / 2
    radius = np.resize(np.asarray(radii), corners)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], 1)


def _cross(arm: float = 0.34) -> np.ndarray:
    quarter = np.asarray([(-arm, -1), (arm, -1), (arm, -arm)])
    turn = np.asarray([(0, 1), (-1, 0)])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


def _blunt(corners: np.ndarray, cut: float) -> np.ndarray:
    """The outline with its corners cut off, so that no tip is thinner than a pixel and the box is seen to its end."""

    def towards(neighbours: np.ndarray) -> np.ndarray:
        way = neighbours - corners
        return corners + cut * way / np.linalg.norm(way, axis=1, keepdims=True)

    return np.stack([towards(np.roll(corners, 1, 0)), towards(np.roll(corners, -1, 0))], 1).reshape(-1, 2)


# Outlines in units of the object's radius; a ring has a hole too. (K, 2) xy
OUTLINES: dict[str, np.ndarray] = {
    "disc": _regular(96),
    "square": _blunt(0.82 * np.asarray([(-1.0, -1), (1, -1), (1, 1), (-1, 1)]), 0.06),
    "triangle": _blunt(1.1 * _regular(3), 0.12),
    "star": _blunt(1.08 * _regular(10, (1.0, 0.45)), 0.12),
    "ring": _regular(96),
    "cross": _blunt(_cross(), 0.06),
}
HOLES: dict[str, np.ndarray] = {"ring": 0.52 * _regular(96)}


@dataclass(frozen=True)
class Sprite:
    """A picture of one object, upright, at several resolutions.

    `levels[k]` is (S_k, S_k, 4) uint8 RGBA, each half the size of the one before; `radii[k]` is
    the object's radius in its pixels, with the object's centre in the middle of the picture.
    """

    label: int
    levels: tuple[np.ndarray, ...]
    radii: tuple[float, ...]
    outline: np.ndarray  # (K, 2) in units of the radius

    def level_for(self, radius: float) -> tuple[np.ndarray, float]:
        """The picture to draw the object at `radius` pixels from, and its own radius."""
        for image, own in zip(reversed(self.levels), reversed(self.radii)):
            if own >= radius:
                return image, own
        return self.levels[0], self.radii[0]


def make_sprite(label: int, radius: float, rng: np.random.Generator) -> Sprite:
    """An object of class `label` with random colours, sharp up to `radius` pixels."""
    shape = CLASSES[label]
    side = 2 * int(np.ceil(radius * (1 + MARGIN) + 2))
    alpha = _fill(OUTLINES[shape], HOLES.get(shape), side, radius)
    rim = _fill(0.86 * OUTLINES[shape], _grown(HOLES.get(shape)), side, radius)
    dark, light = _two_colours(rng)
    pattern = TEXTURES[shape](side, radius, rng)[:, :, None]  # (S, S, 1) in [0, 1]
    colour = dark + (light - dark) * pattern
    colour = colour * _shading(side, radius)[:, :, None]
    edge = rim.astype(np.float32)[:, :, None] / 255
    colour = colour * (0.35 + 0.65 * edge)  # a darker rim sets the object off from the background
    image = np.dstack([np.clip(colour, 0, 255).astype(np.uint8), alpha])
    levels, radii = [np.ascontiguousarray(image)], [float(radius)]
    while radii[-1] > 8 and levels[-1].shape[0] % 2 == 0:
        half = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA))
        radii.append(radii[-1] / 2)
    return Sprite(label, tuple(levels), tuple(radii), OUTLINES[shape])


def _fill(outline: np.ndarray, hole: np.ndarray | None, side: int, radius: float) -> np.ndarray:
    """The coverage of an outline, (side, side) uint8, from a drawing at four times the resolution."""
    shift = 6
    big = np.zeros((side * SUPERSAMPLING, side * SUPERSAMPLING), np.uint8)

    def place(points: np.ndarray) -> np.ndarray:
        # Pixel centres are at half pixels, OpenCV's coordinates are those of centres.
        pixels = (points * radius + side / 2) * SUPERSAMPLING - 0.5
        return np.round(pixels * (1 << shift)).astype(np.int32)[None]

    cv2.fillPoly(big, place(outline), 255, shift=shift)  # type: ignore[call-overload]
    if hole is not None:
        cv2.fillPoly(big, place(hole), 0, shift=shift)  # type: ignore[call-overload]
    return cv2.resize(big, (side, side), interpolation=cv2.INTER_AREA)


def _grown(hole: np.ndarray | None) -> np.ndarray | None:
    return None if hole is None else 1.2 * hole


def _two_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A saturated and a lighter colour of different hue, RGB in [0, 255]."""
    hue = rng.uniform(0, 180)
    other = hue + rng.uniform(25, 90)
    hsv = np.asarray(
        [[[hue % 180, rng.uniform(150, 235), rng.uniform(110, 190)], [other % 180, rng.uniform(70, 180), 245]]]
    )
    rgb = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32)
    return rgb[0, 0], rgb[0, 1]


def _grid(side: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixel centres in units of the radius, each (side, side)."""
    axis = (np.arange(side, dtype=np.float32) + 0.5 - side / 2) / radius
    return np.meshgrid(axis, axis)  # type: ignore[return-value]


def _shading(side: int, radius: float) -> np.ndarray:
    """Light from the upper left."""
    x, y = _grid(side, radius)
    return np.clip(1.0 - 0.16 * (x + y), 0.7, 1.15)


def _soft(value: np.ndarray, sharpness: float = 6.0) -> np.ndarray:
    """A square wave with soft edges, from a value that changes sign, in [0, 1]."""
    return np.clip(0.5 + sharpness * value, 0, 1)


def _stripes(side: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    x, y = _grid(side, radius)
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    return _soft(np.sin(rng.uniform(7, 9) * (x * np.cos(angle) + y * np.sin(angle)) + phase), 3)


def _checks(side: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    x, y = _grid(side, radius)
    rate = rng.uniform(5, 7)
    return _soft(np.sin(rate * x + rng.uniform(0, 6)) * np.sin(rate * y + rng.uniform(0, 6)))


def _dots(side: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    x, y = _grid(side, radius)
    rate = rng.uniform(8, 10)
    return _soft(np.cos(rate * x + rng.uniform(0, 6)) + np.cos(rate * y + rng.uniform(0, 6)) - 0.6, 4)


def _rays(side: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    x, y = _grid(side, radius)
    return _soft(np.sin(10 * np.arctan2(y, x) + rng.uniform(0, 6)), 2) * 0.7 + 0.3 * np.exp(-3 * (x**2 + y**2))


def _spots(side: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    coarse = rng.random((7, 7), dtype=np.float32)
    return _soft(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) - 0.5, 5)


def _bands(side: int, radius: float, rng: np.random.Generator) -> np.ndarray:
    x, y = _grid(side, radius)
    return _soft(np.sin(rng.uniform(9, 11) * np.maximum(np.abs(x), np.abs(y)) + rng.uniform(0, 6)), 3)


TEXTURES = {"disc": _stripes, "square": _checks, "triangle": _dots, "star": _rays, "ring": _spots, "cross": _bands}
