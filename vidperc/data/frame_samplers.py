"""Which frames of a video train together. Each sampler gives frame numbers around a key frame.

A clip longer than its video repeats the video's first or last frame; nothing is ever outside of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

Sides = Literal["before", "after", "both", "any"]


class FrameSampler(ABC):
    """Chooses the frames of a clip."""

    @abstractmethod
    def sample(self, length: int, key: int, rng: np.random.Generator) -> tuple[list[int], int]:
        """Frame numbers within a video of `length` frames, and the position of the key frame among them."""


@dataclass(frozen=True)
class KeyFrame(FrameSampler):
    """The key frame alone: image detectors."""

    def sample(self, length: int, key: int, rng: np.random.Generator) -> tuple[list[int], int]:
        return [key], 0


@dataclass(frozen=True)
class KeyAndReferences(FrameSampler):
    """The key frame first, then references drawn near it, all different where the video has enough frames.

    Args:
        count: number of references; with "both" half of them on either side, the odd one before.
        reach: how far a reference may be off the key frame.
        sides: "before", "after", "both" (FGFA, SELSA: as many before as after), or "any".
    """

    count: int = 2
    reach: int = 9
    sides: Sides = "both"

    def sample(self, length: int, key: int, rng: np.random.Generator) -> tuple[list[int], int]:
        before = range(max(key - self.reach, 0), key)
        after = range(key + 1, min(key + self.reach + 1, length))
        if self.sides == "both":
            late = self.count // 2
            chosen = _choose(before, self.count - late, key, rng) + _choose(after, late, key, rng)
        else:
            pool = {"before": [*before], "after": [*after], "any": [*before, *after]}[self.sides]
            chosen = _choose(pool, self.count, key, rng)
        return [key, *chosen], 0


@dataclass(frozen=True)
class SpreadReferences(FrameSampler):
    """The key frame first, then references drawn from all of the video (SELSA's full-sequence training)."""

    count: int = 2

    def sample(self, length: int, key: int, rng: np.random.Generator) -> tuple[list[int], int]:
        others = [index for index in range(length) if index != key]
        return [key, *_choose(others, self.count, key, rng)], 0


@dataclass(frozen=True)
class Pair(FrameSampler):
    """The key frame and one at most `reach` frames off, itself included: association, single-object tracking, DFF."""

    reach: int = 100

    def sample(self, length: int, key: int, rng: np.random.Generator) -> tuple[list[int], int]:
        low, high = max(key - self.reach, 0), min(key + self.reach, length - 1)
        return [key, int(rng.integers(low, high + 1))], 0


@dataclass(frozen=True)
class StridedClip(FrameSampler):
    """`length` frames, `stride` apart, with the key frame at a drawn position, in order of time."""

    length: int = 5
    stride: int = 1

    def sample(self, length: int, key: int, rng: np.random.Generator) -> tuple[list[int], int]:
        # Positions the key frame can take so that the clip stays inside, or all where it cannot.
        inside = [p for p in range(self.length) if self._fits(key - p * self.stride, length)]
        position = int(rng.choice(inside)) if inside else int(rng.integers(self.length))
        numbers = [key + (index - position) * self.stride for index in range(self.length)]
        return [min(max(number, 0), length - 1) for number in numbers], position

    def _fits(self, start: int, length: int) -> bool:
        return start >= 0 and start + (self.length - 1) * self.stride < length


def _choose(pool: range | list[int], count: int, key: int, rng: np.random.Generator) -> list[int]:
    """`count` of the pool in order, again and again where it is too small; the key frame where it is empty."""
    pool = list(pool)
    if not pool:
        return [key] * count
    repeated = [pool[i] for i in rng.permutation(len(pool))]
    while len(repeated) < count:
        repeated += [pool[i] for i in rng.permutation(len(pool))]
    return sorted(repeated[:count])
