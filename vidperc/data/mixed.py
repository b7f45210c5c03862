"""Several data sets that are trained on together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..structures import Clip
from .datasets import Clips, Sample


class MixedClips(Clips):
    """The clips of several data sets, numbered through.

    Each is made within its own set: other clips that a transform asks for, and what takes the place of a bad
    sample, are of the same one.
    """

    def __init__(self, parts: Sequence[Clips]) -> None:
        self.parts = list(parts)
        self.ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, sample: Sample) -> Clip:
        number, seed = sample
        if not 0 <= number < len(self):
            raise IndexError(f"clip {number} of {len(self)}")
        at = int(np.searchsorted(self.ends, number, side="right"))
        part = self.parts[at]
        return part[number - int(self.ends[at]) + len(part), seed]
