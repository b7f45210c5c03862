"""Video files, frame-exact in order and at random.

Decoded with FFmpeg through PyAV. On files with known frame numbers in their pictures decord's random
access was wrong on open GOPs (17 of 120 frames) and on H.264 in AVI (89 of 120), its sequential access
on MPEG-TS (119 of 120), and it is no faster: converting with one thread, PyAV reads RGB frames at the
same rate.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import av

from ..structures import Frame
from .decoder import Decoder, RgbConverter
from .errors import VideoError, VideoWarning
from .packet_index import PacketIndex, index_by_decoding, index_of, read_index
from .prefetch import prefetch

Picture = tuple[int, av.VideoFrame]  # a decoded frame behind its index


class FileFrames:
    """The frames of a video file; `time` counts in seconds from the first frame.

    Opening decodes the first frame. The number of frames and their times are read from the file's
    packets when first needed, never from its header. Frames that cannot be decoded are missing from
    iteration while the others keep their index and time; a `VideoWarning` at the end says how many.

    Raises:
        FileNotFoundError: no such file.
        VideoError: not a video, or not one frame can be decoded.
    """

    def __init__(self, path: str | Path, name: str | None = None, depth: int = 8) -> None:
        self.path, self._depth = str(path), depth
        self.name = name or Path(path).stem
        self._lock = threading.RLock()
        self._index: PacketIndex | None = None
        self._cursor: _Cursor | None = None
        with Decoder(path, tolerant=True) as decoder:
            first = next(decoder.frames(), None)
            if first is None:
                raise VideoError(f"{path}: no frame of this video can be decoded")
            rate = decoder.stream.average_rate or decoder.stream.guessed_rate
            self.fps: float | None = float(rate) if rate else None
            self._tick = float(decoder.stream.time_base or 0)
            self._first = first.pts
            height, width = RgbConverter()(first).shape[:2]
            self.size: tuple[int, int] | None = (height, width)

    @property
    def index(self) -> PacketIndex:
        """Number and times of the frames, read on first use."""
        with self._lock:
            if self._index is None:
                self._index = read_index(self.path, self._first)
            return self._index

    @property
    def verified_index(self) -> PacketIndex:
        """As `index`, and which frame is which; by decoding the file once where its packets do not tell."""
        with self._lock:
            index = self.index
            if not index.verified:
                self._index = index = index_by_decoding(self.path, index.keys, index.declared)
            return index

    @property
    def length(self) -> int | None:
        return self.index.length

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Frames in order, decoded up to `depth` ahead in a background thread (0: in the caller's)."""
        if self._depth == 0:
            return self._frames(start)
        return prefetch(self._frames(start), self._depth)

    def read(self, index: int) -> Frame:
        """The frame at `index`, exactly. Reading on from the last one read does not seek.

        Raises:
            IndexError: outside the video.
            VideoError: this frame is damaged beyond decoding.
        """
        with self._lock:
            length = self.verified_index.length
            if not 0 <= index < length:
                raise IndexError(f"{self.name}: frame {index} of {length}")
            if self._cursor is None:
                decoder = Decoder(self.path, tolerant=True)
                self._cursor = _Cursor(decoder, self.verified_index)
            return self._frame((index, self._cursor.seek(index)), self._cursor.convert)

    def close(self) -> None:
        """Close the file that `read` keeps open; a later `read` opens it again."""
        with self._lock:
            if self._cursor is not None:
                self._cursor.decoder.container.close()
            self._cursor = None

    def _frame(self, picture: Picture, convert: RgbConverter) -> Frame:
        index, decoded = picture
        times = self.index.times
        if times is not None and index < len(times):
            time: float | None = float(times[index]) * self._tick
        else:
            time = index / self.fps if self.fps else None
        return Frame.from_array(convert(decoded), index, time)

    def _frames(self, start: int) -> Iterator[Frame]:
        convert = RgbConverter()
        for picture in self._pictures(start):
            yield self._frame(picture, convert)

    def _pictures(self, start: int) -> Iterator[Picture]:
        """Decoded frames with their index. Starts fast; after an error goes on in the tolerant way."""
        index = self.index if start == 0 else self.verified_index
        position, given, corrupt, seen = start, 0, 0, []
        for tolerant in (False, True):
            try:
                with Decoder(self.path, tolerant) as decoder:
                    for picture in _numbered_from(decoder, index, position):
                        yield picture
                        position, given = picture[0] + 1, given + 1
                        if not index.verified:
                            seen.append(picture[1].pts)
                        corrupt += bool(picture[1].is_corrupt)
                break
            except (av.FFmpegError, OSError, VideoError):
                if tolerant:
                    raise
                index = self.verified_index
        if not index.verified and start == 0:
            self._index = index = index_of(seen, index.keys, index.declared)
        self._report(index, start, given, corrupt)

    def _report(self, index: PacketIndex, start: int, given: int, corrupt: int) -> None:
        missing = max(index.length - start, 0) - given + index.nameless
        of = f"of {index.length + index.nameless} frames"
        if missing > 0:
            _warn(f"{self.path}: {missing} {of} could not be decoded and are missing")
        if corrupt:
            _warn(f"{self.path}: {corrupt} {of} are damaged and were given as far as they decode")
        if start == 0 and index.length < index.declared:
            _warn(f"{self.path}: the header promises {index.declared} frames, the file holds {index.length}")


def _warn(text: str) -> None:
    warnings.warn(VideoWarning(text), stacklevel=2)


def _numbered_from(decoder: Decoder, index: PacketIndex, start: int) -> Iterator[Picture]:
    """Frames from index `start` on, decoded from the key frame before it."""
    keys = index.keys_before(start)[:1] if 0 < start < index.length and index.verified else []
    place, key = keys[0] if keys else (0, None)
    for picture in _numbered(decoder.frames(key), index, place):
        if picture[0] >= start:
            yield picture


def _numbered(pictures: Iterator[av.VideoFrame], index: PacketIndex, place: int = 0) -> Iterator[Picture]:
    """Decoded frames, each with its index, from index `place` on.

    Left out is what comes before: behind the key frame of an open GOP come frames presented before
    it, which refer to frames that were not decoded.
    """
    counted = index.stamps is None or not index.verified
    for picture in pictures:
        found = place if counted else index.position(picture.pts)
        if found is not None and found >= place:
            place = found + 1
            yield found, picture


class _Cursor:
    """An open file for random access, at the frame last read."""

    def __init__(self, decoder: Decoder, index: PacketIndex) -> None:
        self.decoder, self._index = decoder, index
        self.convert = RgbConverter()
        self._coming: Iterator[Picture] = iter(())
        self._last: Picture | None = None

    def seek(self, index: int) -> av.VideoFrame:
        """The picture at `index`: by decoding on from the last one within its GOP, else from a key frame."""
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        keys = self._index.keys_before(index)
        if self._last is not None and self._last[0] < index and (not keys or keys[0][0] <= self._last[0]):
            picture = self._advance(index)
            if picture is not None:
                return picture
        # A key frame that a container flags wrongly gives no or later pictures: go further back.
        for place, key in [*keys[:2], *keys[4:5], (0, None)]:
            self._coming = _numbered(self.decoder.frames(key), self._index, place)
            picture = self._advance(index)
            if picture is not None:
                return picture
        raise VideoError(f"{self.decoder.path}: frame {index} cannot be decoded")

    def _advance(self, index: int) -> av.VideoFrame | None:
        """Decode up to the picture at `index`; None when it does not come."""
        for found in self._coming:
            self._last = found
            if found[0] >= index:
                return found[1] if found[0] == index else None
        self._last = None
        return None
