"""Where the frames of a video file are: their number, times and key frames."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from .decoder import Decoder, Key

# A codec whose files hold packets that give no picture, so the packets do not tell the number of frames.
HIDDEN_FRAMES = {"vp8"}
# With more packets than this share lacking a time stamp, it is the format, not damage.
MOST_NAMELESS = 0.05


@dataclass(slots=True)
class PacketIndex:
    """The true frames of a file in order of presentation.

    `stamps` name the frames by the decoder's clock; None where no clock tells them apart, then frames
    are found by counting from the start. While not `verified`, `stamps` are in the order of the file:
    their number and times are known, but not yet which is which.
    """

    stamps: np.ndarray | None  # (T,) int64, in order of presentation
    times: np.ndarray | None  # (T,) int64, ascending, in ticks since the first frame
    length: int
    keys: list[Key]  # in order of presentation
    declared: int  # number of frames that the header promises, 0 where it does not say
    verified: bool = True
    nameless: int = 0  # packets that damage left without a stamp; their frames are not among the `length`
    _positions: list[int] = field(init=False, repr=False)  # of `keys`
    _sorted: np.ndarray = field(init=False, repr=False)
    _order: np.ndarray | None = field(init=False, repr=False)  # None: ascending as they are

    def __post_init__(self) -> None:
        stamps = np.zeros(0, np.int64) if self.stamps is None else self.stamps
        ascending = bool((stamps[1:] > stamps[:-1]).all())
        self._order = None if ascending else np.argsort(stamps)
        self._sorted = stamps if self._order is None else stamps[self._order]
        placed = [(self.position(key.stamp), key) for key in self.keys]
        known = sorted(((place, key) for place, key in placed if place is not None), key=lambda pair: pair[0])
        self.keys, self._positions = [key for _, key in known], [place for place, _ in known]

    def position(self, stamp: int | None) -> int | None:
        """The index of the frame with this stamp, None when there is none."""
        if self.stamps is None or stamp is None:
            return None
        row = int(np.searchsorted(self._sorted, stamp))
        if row >= self.length or self._sorted[row] != stamp:
            return None
        return row if self._order is None else int(self._order[row])

    def keys_before(self, index: int) -> list[tuple[int, Key]]:
        """(index, key) of the key frames presented at or before frame `index`, the nearest first."""
        end = bisect_right(self._positions, index)
        return list(zip(self._positions[:end], self.keys[:end], strict=True))[::-1]


def read_index(path: str, first: int | None) -> PacketIndex:
    """Index a file by reading its packets without decoding them; by decoding all where packets will not do.

    A header's number of frames is never believed. `first` is the stamp of the first frame that
    decodes: packets presented before it (a stream cut in the middle of a GOP) give no frame.
    """
    with Decoder(path, tolerant=True) as decoder:
        clock, codec = decoder.clock, decoder.stream.codec_context.name
        # AVI counts moments without a picture too.
        declared = decoder.stream.frames if clock == "pts" else 0
        packets = [packet for packet in decoder.packets() if packet.size]
        shown = [packet.pts for packet in packets if not packet.is_discard]
        keys = [Key(p.pts, p.dts) for p in packets if p.is_keyframe and p.pts is not None]
    stamps = [stamp for stamp in shown if stamp is not None]
    nameless = len(shown) - len(stamps)
    if nameless > MOST_NAMELESS * len(shown):
        return index_by_decoding(path, keys, declared)
    if first is None or not _distinct(stamps) or codec in HIDDEN_FRAMES or first not in set(stamps):
        return index_by_decoding(path, keys, declared)
    ascending = np.unique(np.asarray(stamps, dtype=np.int64))
    ascending = ascending[ascending >= first]
    return PacketIndex(ascending, ascending - first, len(ascending), keys, declared, clock == "pts", nameless)


def index_by_decoding(path: str, keys: list[Key], declared: int) -> PacketIndex:
    """Index a file by decoding it once, without converting its pictures."""
    given: list[int | None] = []
    with Decoder(path, tolerant=True) as decoder:
        packets: list[int | None] = []
        for frame in decoder.frames(on_packet=lambda packet: packets.append(packet.pts)):
            given.append(frame.pts)
    # Where nothing is reordered, packets that gave no frame keep their place: the others keep their index.
    if _distinct(packets) and _ascending(packets) and _ascending(given):
        given = packets[packets.index(given[0]) :] if given and given[0] in packets else given
    return index_of(given, keys, declared)


def index_of(given: Sequence[int | None], keys: list[Key], declared: int) -> PacketIndex:
    """The index of frames with these stamps, in order of presentation."""
    if not _distinct(given):
        return PacketIndex(None, None, len(given), [], declared)
    stamps = np.asarray(given, dtype=np.int64)
    return PacketIndex(stamps, np.sort(stamps) - stamps.min(), len(stamps), keys, declared)


def _distinct(stamps: Sequence[int | None]) -> bool:
    return bool(stamps) and None not in stamps and len(set(stamps)) == len(stamps)


def _ascending(stamps: Sequence[int | None]) -> bool:
    return all(a is not None and b is not None and a < b for a, b in pairwise(stamps))
