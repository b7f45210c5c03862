"""Transform: changes a clip before training, the same way in all of its frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...structures import Clip, Frame

MoreClips = Callable[[], Clip]


class Transform(ABC):
    """A clip to a clip. Randomness comes from the generator; `more` gives other clips of the data set."""

    @abstractmethod
    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        """The changed clip; the given one and its arrays are left as they are."""


class FrameTransform(Transform):
    """A transform that draws its parameters once per clip and applies them to each frame."""

    @abstractmethod
    def draw(self, clip: Clip, rng: np.random.Generator) -> Any:
        """The parameters for this clip; None to leave it as it is."""

    @abstractmethod
    def apply(self, frame: Frame, parameters: Any) -> Frame:
        """One frame, changed by the drawn parameters: picture, boxes, masks."""

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        parameters = self.draw(clip, rng)
        if parameters is None:
            return clip
        return with_frames(clip, [self.apply(frame, parameters) for frame in clip.frames])


class OneOf(Transform):
    """One of several lists of transforms, drawn by weight."""

    def __init__(self, choices: Sequence[Sequence[Transform]], weights: Sequence[float] | None = None) -> None:
        if not choices:
            raise ValueError("OneOf needs at least one choice")
        given = np.ones(len(choices)) if weights is None else np.asarray(weights, dtype=float)
        self.choices, self.weights = choices, given / given.sum()

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        return apply_all(self.choices[int(rng.choice(len(self.choices), p=self.weights))], clip, rng, more)


def apply_all(
    transforms: Sequence[Transform], clip: Clip, rng: np.random.Generator, more: MoreClips | None = None
) -> Clip:
    """The transforms one after the other."""
    for transform in transforms:
        clip = transform(clip, rng, more)
    return clip


def with_frames(clip: Clip, frames: list[Frame]) -> Clip:
    """The clip with other frames in the same order."""
    return Clip(frames=frames, key=clip.key, video=clip.video)
