"""Random windows: crops of a size, shifts, CornerNet's crops, SSD's crops and expansion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...structures import Clip, Frame
from .base import FrameTransform
from .geometry import GREY, Crop, Fill, Window, crop_frame, pad_frame


class RandomCrop(FrameTransform):
    """A window whose height and width are drawn each from `low` to `high`, where the picture allows, anywhere in it.

    With `keep_objects` a window that shows nothing of any object of the key frame is
    drawn again, up to ten times; then the clip stays as it is.

    Args:
        low, high: (height, width) in pixels.
        crop: `crop_frame`, after which boxes end at the window, or `crop_whole`, after which they do not.
    """

    def __init__(
        self,
        low: tuple[int, int],
        high: tuple[int, int] | None = None,
        keep_objects: bool = True,
        crop: Crop = crop_frame,
    ) -> None:
        self.low, self.high, self.keep_objects, self.crop = low, high or low, keep_objects, crop

    def draw(self, clip: Clip, rng: np.random.Generator) -> Window | None:
        key = clip[clip.key]
        boxes = _counted_boxes(key)
        for _ in range(10):
            window = self._window(key.size, rng)
            if not self.keep_objects or not len(boxes) or _shows(boxes, window).any():
                return window
        return None

    def _window(self, size: tuple[int, int], rng: np.random.Generator) -> Window:
        height, width = (
            int(rng.integers(min(low, side), min(high, side) + 1)) for low, high, side in zip(self.low, self.high, size)
        )
        x, y = int(rng.integers(size[1] - width + 1)), int(rng.integers(size[0] - height + 1))
        return x, y, x + width, y + height

    def apply(self, frame: Frame, parameters: Window) -> Frame:
        return self.crop(frame, parameters)


class RandomShift(FrameTransform):
    """The picture moved by whole pixels, black where it was (YOLOF, https://arxiv.org/abs/2103.09460, section 5.1).

    A shift that leaves nothing of any object is not done.

    Args:
        largest: pixels either way.
        probability: with which it is done.
    """

    def __init__(self, largest: int = 32, probability: float = 0.5) -> None:
        self.largest, self.probability = largest, probability

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[int, int] | None:
        if rng.random() >= self.probability:
            return None
        x, y = (int(value) for value in rng.integers(-self.largest, self.largest + 1, 2))
        boxes, size = _counted_boxes(clip[clip.key]), clip[clip.key].size
        if abs(x) >= size[1] or abs(y) >= size[0]:
            return None
        return None if len(boxes) and not _shows(boxes, self._stays((x, y), size)).any() else (x, y)

    @staticmethod
    def _stays(shift: tuple[int, int], size: tuple[int, int]) -> Window:
        """What of the picture is still seen."""
        (x, y), (height, width) = shift, size
        return max(-x, 0), max(-y, 0), width - max(x, 0), height - max(y, 0)

    def apply(self, frame: Frame, parameters: tuple[int, int]) -> Frame:
        left = crop_frame(frame, self._stays(parameters, frame.size))
        return pad_frame(left, (max(parameters[0], 0), max(parameters[1], 0)), frame.size, (0, 0, 0))


class CentreCropPad(FrameTransform):
    """A window around a drawn point, filled up beyond the picture (CornerNet, https://arxiv.org/abs/1808.01244).

    Its sides are `size` times a drawn factor. Objects whose centre is not in it are dropped; it is drawn again while
    there is none left.

    Args:
        size: (height, width) in pixels.
        factors: drawn from.
        border: about so far from the sides of the picture is the point, nearer in small pictures.
    """

    def __init__(
        self,
        size: tuple[int, int],
        factors: Sequence[float] = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
        *,
        border: int = 128,
        fill: Fill = GREY,
    ) -> None:
        self.size, self.factors, self.border, self.fill = size, tuple(factors), border, fill

    def draw(self, clip: Clip, rng: np.random.Generator) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """The size of the window and the (x, y) of its middle."""
        boxes, picture = _counted_boxes(clip[clip.key]), clip[clip.key].size
        for number in range(1000):
            if number % 50 == 0:
                factor = self.factors[int(rng.integers(len(self.factors)))]
                size = int(self.size[0] * factor), int(self.size[1] * factor)
            y, x = (int(rng.integers(edge, side - edge)) for side in picture for edge in [self._edge(side)])
            if not len(boxes) or _holds_centres(boxes, self._window((x, y), size, picture)).any():
                return size, (x, y)
        return None

    def _edge(self, side: int) -> int:
        """How far from the sides the point is: the border, halved until twice of it is less than the side."""
        edge = self.border
        while 2 * edge >= side and edge > 0:
            edge //= 2
        return edge

    @staticmethod
    def _window(middle: tuple[int, int], size: tuple[int, int], picture: tuple[int, int]) -> Window:
        (x, y), (h, w) = middle, (size[0] // 2, size[1] // 2)
        return max(x - w, 0), max(y - h, 0), min(x + w, picture[1]), min(y + h, picture[0])

    def apply(self, frame: Frame, parameters: tuple[tuple[int, int], tuple[int, int]]) -> Frame:
        size, middle = parameters
        window = self._window(middle, size, frame.size)
        offset = size[1] // 2 - middle[0] + window[0], size[0] // 2 - middle[1] + window[1]
        return pad_frame(crop_frame(_with_centres_in(frame, window), window), offset, size, self.fill)


class DropSmall(FrameTransform):
    """Without objects of which a side is `side` pixels or less."""

    def __init__(self, side: float) -> None:
        self.side = side

    def draw(self, clip: Clip, rng: np.random.Generator) -> float:
        return self.side

    def apply(self, frame: Frame, parameters: float) -> Frame:
        if frame.instances is None:
            return frame
        large = (frame.instances.boxes[:, 2:] - frame.instances.boxes[:, :2]).amin(1) > parameters
        return replace(frame, instances=frame.instances[large])


class MinIoUCrop(FrameTransform):
    """SSD's crop (https://arxiv.org/abs/1512.02325, section 2.2).

    A window of 0.3 to 1 of each side, of ratio 1/2 to 2, which overlaps every object with at least a drawn IoU
    and holds the centre of one; objects whose centre is outside of it are dropped. One outcome is no crop.
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
        return bool(_holds_centres(boxes, window).any()) and float(_ious(boxes, window).min()) >= least

    def apply(self, frame: Frame, parameters: Window) -> Frame:
        return crop_frame(_with_centres_in(frame, parameters), parameters)


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


def _counted_boxes(frame: Frame) -> np.ndarray:
    """The boxes (N, 4) of the objects that are not ignored."""
    objects = frame.instances
    if objects is None:
        return np.zeros((0, 4), np.float32)
    return objects.boxes.numpy() if objects.ignored is None else objects.boxes[~objects.ignored].numpy()


def _with_centres_in(frame: Frame, window: Window) -> Frame:
    """Without the objects whose centre is not in the window."""
    if frame.instances is None:
        return frame
    inside = torch.from_numpy(_holds_centres(frame.instances.boxes.numpy(), window))
    return replace(frame, instances=frame.instances[inside])


def _shows(boxes: np.ndarray, window: Window) -> np.ndarray:
    """Which boxes have a pixel's width and height in the window, (N,) bool."""
    low, high = np.maximum(boxes[:, :2], window[:2]), np.minimum(boxes[:, 2:], window[2:])
    return (high - low >= 1).all(1)


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
