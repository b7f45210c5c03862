"""ByteTrack that matches by overlap alone, as its authors run it on MOT20, where scores say little of who is who."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .association import Bools, Ints
from .byte_track import ByteTrack, ByteTracks, EagerByteTrack
from .trace import Trace
from .track_arrays import DetectionArrays


class OverlapByteTrack(ByteTrack):
    """As `ByteTrack`, with the cost 1 - IoU in all associations; scores only say which detections are high."""

    def associate(
        self, tracks: ByteTracks, found: DetectionArrays, seen: Bools, trace: Trace | None = None
    ) -> tuple[Ints, Ints, Ints]:
        # The score weighs the overlaps of high detections only: as certain ones these count in full.
        certain = replace(found, scores=np.where(found.scores > self.high, 1.0, found.scores))
        return super().associate(tracks, certain, seen, trace)


class EagerOverlapByteTrack(EagerByteTrack):
    """As `EagerByteTrack`, with the cost 1 - IoU in all associations. Arguments are those of `EagerByteTrack`."""

    associating = OverlapByteTrack

    def __init__(self, match: float = 0.7, **options: Any) -> None:
        super().__init__(match=match, **options)
