"""Pairs of crops that a siamese tracker trains on (SiamFC's crops; SiamRPN++, arXiv 1812.11703, section 3).

The object must not always be in the middle of the search crop, or the network learns to find the middle
instead of the object: the crop is shifted at random by up to 64 pixels (spatial-aware sampling).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from ...structures import Clip, Frame, Instances
from .base import MoreClips, Transform

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
# Red, green and blue of the shifts of colour along the three main directions in which pictures of ImageNet differ.
PUBLISHED_COLOURS: Matrix = (
    (-0.55919361, 0.98062831, -0.41940627),
    (1.72091413, 0.19879334, -1.82968581),
    (4.64467907, 4.73710203, 4.88324118),
)


@dataclass(frozen=True)
class CropRange:
    """How a crop is drawn about its object; the numbers that are given are the published ones.

    Args:
        size: side of the crop in pixels.
        shift: the crop's middle is at most this many pixels off the object's centre, in x and in y, before scaling.
        scale: the crop shows at most this share more or less of the picture than in tracking, in x and in y.
        blur: probability of a blur.
        blur_sides: least and greatest side of its kernel, both odd.
        colours: the colour is shifted by this (red, green, blue) x 3 matrix times three standard normal numbers.
    """

    size: int
    shift: float
    scale: float
    blur: float = 0.0
    blur_sides: tuple[int, int] = (5, 45)
    colours: Matrix = PUBLISHED_COLOURS


class SiamesePair(Transform):
    """Two frames to a template and a search crop with one box each.

    In a positive pair both crops show one object, with one id. In a negative pair the ids differ: the search
    crop shows an object of another clip, or another one of the same frame.

    Args:
        template, search: how the crops are drawn.
        positive: probability of a positive pair.
        neighbour: probability that a negative pair is with another object of the same frame, where there is one.
        grey: probability that both crops are without colour.
        context: share of width + height that is added to each side of a box.
    """

    def __init__(
        self,
        template: CropRange = CropRange(127, 4, 0.05),
        search: CropRange = CropRange(255, 64, 0.18, blur=0.2),
        *,
        positive: float = 0.8,
        neighbour: float = 0.0,
        grey: float = 0.0,
        context: float = 0.5,
    ) -> None:
        self.template, self.search, self.positive = template, search, positive
        self.neighbour, self.grey, self.context = neighbour, grey, context

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        if len(clip) != 2:
            raise ValueError(f"clip of '{clip.video}': a siamese pair needs two frames, got {len(clip)}")
        template, search, same = clip.frames[0], clip.frames[1], True
        rows = _shared_rows(template, search)
        if not rows:  # what the template shows has left: both crops are of its frame, as of a still picture
            search = template
            rows = [(row, row) for row in _counted_rows(template)]
        if not rows:
            raise ValueError(f"clip of '{clip.video}': the template's frame has no object")
        first, second = rows[int(rng.integers(len(rows)))]
        if rng.random() >= self.positive:
            search, second, same = self._another(search, second, rng, more)
        grey = rng.random() < self.grey
        frames = [
            self._crop(template, first, self.template, 0, grey, rng),
            self._crop(search, second, self.search, 0 if same else 1, grey, rng),
        ]
        return Clip(frames=frames, key=1, video=clip.video)

    def _another(
        self, frame: Frame, row: int, rng: np.random.Generator, more: MoreClips | None
    ) -> tuple[Frame, int, bool]:
        """A frame and the row of an object other than the given one, and whether it is the same after all."""
        others = [other for other in _counted_rows(frame) if other != row]
        if more is not None and (not others or rng.random() >= self.neighbour):
            elsewhere = more().frames[-1]
            choice = _counted_rows(elsewhere)
            if choice:
                return elsewhere, choice[int(rng.integers(len(choice)))], False
        if others:
            return frame, others[int(rng.integers(len(others)))], False
        return frame, row, True

    def _crop(
        self, frame: Frame, row: int, drawn: CropRange, number: int, grey: bool, rng: np.random.Generator
    ) -> Frame:
        """The crop about the object in `row`, with its box and the id `number`."""
        assert frame.instances is not None
        box = frame.instances.boxes[row].double().numpy()
        width, height = box[2:] - box[:2]
        context = self.context * (width + height)
        side = np.sqrt((width + context) * (height + context)) * drawn.size / self.template.size
        shown = 1 + rng.uniform(-drawn.scale, drawn.scale, 2)
        scale = drawn.size / side / shown
        middle = drawn.size / 2 + rng.uniform(-drawn.shift, drawn.shift, 2) / shown
        picture = frame.array
        # Pixel centres are at halves: column c is drawn from x with (x + 0.5 - centre) * scale + middle = c + 0.5.
        offset = middle - ((box[:2] + box[2:]) / 2 - 0.5) * scale - 0.5
        matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
        mean = tuple(float(value) for value in picture.reshape(-1, 3).mean(0))
        crop = cv2.warpAffine(
            picture, matrix, (drawn.size, drawn.size), borderMode=cv2.BORDER_CONSTANT, borderValue=mean
        )
        if grey:
            crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
        ends = (box.reshape(2, 2) - (box[:2] + box[2:]) / 2) * scale + middle
        objects = Instances(torch.from_numpy(ends.reshape(1, 4)).float(), ids=torch.tensor([number]))
        cropped = Frame.from_array(_recolour(crop, drawn, rng), frame.index, frame.time, frame.name)
        return replace(cropped, instances=objects)


def _recolour(picture: np.ndarray, drawn: CropRange, rng: np.random.Generator) -> np.ndarray:
    """Shifted in colour, and blurred, as drawn."""
    offset = np.array(drawn.colours) @ rng.standard_normal(3)
    picture = np.clip(np.rint(picture + offset), 0, 255).astype(np.uint8)
    if rng.random() < drawn.blur:
        least, greatest = drawn.blur_sides
        side = int(rng.choice(np.arange(least, greatest + 1, 2)))
        share = rng.random()
        cross = np.zeros((side, side))
        cross[:, side // 2] += share / side
        cross[side // 2] += (1 - share) / side
        picture = cv2.filter2D(picture, -1, cross)
    return picture


def _counted_rows(frame: Frame) -> list[int]:
    """Rows of the objects that are not ignored."""
    objects = frame.instances
    if objects is None:
        return []
    return [row for row in range(len(objects)) if objects.ignored is None or not bool(objects.ignored[row])]


def _shared_rows(first: Frame, second: Frame) -> list[tuple[int, int]]:
    """(row in first, row in second) of the objects in both; without ids those of one and the same frame."""
    rows, others = _counted_rows(first), _counted_rows(second)
    ids, other_ids = (None if f.instances is None else f.instances.ids for f in (first, second))
    if ids is None or other_ids is None:
        return [(row, row) for row in rows] if first.index == second.index else []
    place = {int(other_ids[row]): row for row in others}
    return [(row, place[int(ids[row])]) for row in rows if int(ids[row]) in place]
