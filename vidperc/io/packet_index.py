"""Where the frames of a video file are: their number, times and key frames."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from .decoder import Decoder, Key

# Their files hold packets that give no picture of their own, so packets say nothing of frames.
HIDDEN_FRAMES = {"vp8", "mpeg4", "msmpeg4v3", "av1"}


@dataclass(slots=True)
class PacketIndex:
    """The true frames of a file in order of presentation.

    `pts` is None where the file's time stamps cannot tell its frames apart; then frames are found
    by counting from the start.
    """

    length: int
    pts: np.ndarray | None  # (T,) int64, ascending, in units of the stream's time base
    keys: list[Key]  # ascending
    declared: int  # number of frames that the header promises, 0 where it does not say

    def position(self, pts: int | None) -> int | None:
        """The index of the frame presented at `pts`, None when there is none."""
        if self.pts is None or pts is None:
            return None
        index = int(np.searchsorted(self.pts, pts))
        return index if index < self.length and self.pts[index] == pts else None

    def keys_before(self, index: int) -> list[Key]:
        """Key frames presented at or before frame `index`, the nearest first."""
        if self.pts is None:
            return []
        end = bisect_right(self.keys, int(self.pts[index]), key=lambda key: key.pts)
        return self.keys[:end][::-1]


def read_index(path: str, first_pts: int | None) -> PacketIndex:
    """Index a file by reading its packets without decoding them; by decoding all where packets will not do.

    A header's number of frames is never believed. `first_pts` is the time stamp of the first frame
    that decodes: packets presented before it (a stream cut in the middle of a GOP) give no frame.
    """
    with Decoder(path, tolerant=True) as decoder:
        declared, codec = decoder.stream.frames, decoder.stream.codec_context.name
        packets = [packet for packet in decoder.packets() if packet.size]
        stamps = [packet.pts for packet in packets if not packet.is_discard]
        keys = [Key(p.pts, p.dts) for p in packets if p.is_keyframe and p.pts is not None]
    keys.sort(key=lambda key: key.pts)
    if _usable(stamps) and codec not in HIDDEN_FRAMES and first_pts is not None:
        pts = np.unique(np.asarray(stamps, dtype=np.int64))
        pts = pts[pts >= first_pts]
        if len(pts) and pts[0] == first_pts:
            return PacketIndex(len(pts), pts, keys, declared)
    return _index_by_decoding(path, keys, declared)


def _usable(stamps: list[int | None]) -> bool:
    return bool(stamps) and None not in stamps and len(set(stamps)) == len(stamps)


def _index_by_decoding(path: str, keys: list[Key], declared: int) -> PacketIndex:
    with Decoder(path, tolerant=True) as decoder:
        stamps = [frame.pts for frame in decoder.frames()]
    if not _usable(stamps) or stamps != sorted(stamps, key=lambda pts: pts or 0):
        return PacketIndex(len(stamps), None, [], declared)
    pts = np.asarray(stamps, dtype=np.int64)
    present = set(stamps)
    return PacketIndex(len(stamps), pts, [key for key in keys if key.pts in present], declared)
