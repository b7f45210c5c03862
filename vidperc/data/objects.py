"""Clips in which every object counts the same, however long it is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..structures import Instances, VideoRecord
from .datasets import ClipDataset
from .frame_samplers import FrameSampler
from .transforms import Transform


class ObjectClips(ClipDataset):
    """A data set whose transforms are given other clips by how many objects they stand for.

    `weights` (K,) says of each key frame how often it comes where every object comes once, in one of its frames.
    """

    def __init__(
        self, records: Sequence[VideoRecord], sampler: FrameSampler | None = None, transforms: Sequence[Transform] = ()
    ) -> None:
        super().__init__(records, sampler, transforms)
        weights = [frame_weights(record) for record in self.records]
        self.weights = np.array([weights[video].get(frame, 1.0) for video, frame in self.keys])
        self.totals = self.weights.cumsum()

    def draw(self, rng: np.random.Generator) -> int:
        return int(np.searchsorted(self.totals, rng.random() * self.totals[-1], side="right"))


def frame_weights(record: VideoRecord) -> dict[int, float]:
    """How often each annotated frame comes where every object comes once, and then in one of its frames."""
    frames = {index: _identities(objects, index) for index, objects in record.instances.items()}
    seen = Counter(identity for identities in frames.values() for identity in identities)
    return {index: sum(1 / seen[identity] for identity in identities) for index, identities in frames.items()}


def _identities(objects: Instances, frame: int) -> list[tuple[int, ...]]:
    """What tells the objects that count apart; without ids each is one of its frame alone."""
    rows = [row for row in range(len(objects)) if objects.ignored is None or not bool(objects.ignored[row])]
    return [(frame, row) if objects.ids is None else (int(objects.ids[row]),) for row in rows]
