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
from .packet_index import PacketIndex, read_index
from .prefetch import prefetch


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
            self._first_pts = first.pts
            height, width = RgbConverter()(first).shape[:2]
            self.size: tuple[int, int] | None = (height, width)

    @property
    def index(self) -> PacketIndex:
        """Number, times and key frames, read on first use."""
        with self._lock:
            if self._index is None:
                self._index = read_index(self.path, self._first_pts)
            return self._index

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
        if not 0 <= index < self.index.length:
            raise IndexError(f"{self.name}: frame {index} of {self.index.length}")
        with self._lock:
            if self._cursor is None:
                self._cursor = _Cursor(self.path, self.index)
            picture = self._cursor.seek(index)
            return self._frame(index, picture, self._cursor.convert)

    def close(self) -> None:
        """Close the file that `read` keeps open; a later `read` opens it again."""
        with self._lock:
            if self._cursor is not None:
                self._cursor.decoder.container.close()
            self._cursor = None

    def _frame(self, index: int, picture: av.VideoFrame, convert: RgbConverter) -> Frame:
        if picture.pts is not None and self._first_pts is not None and self.index.pts is not None:
            time: float | None = (picture.pts - self._first_pts) * self._tick
        else:
            time = index / self.fps if self.fps else None
        return Frame.from_array(convert(picture), index, time)

    def _frames(self, start: int) -> Iterator[Frame]:
        convert = RgbConverter()
        for index, picture in self._pictures(start):
            yield self._frame(index, picture, convert)

    def _pictures(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoded frames with their index. Starts fast; after an error goes on in the tolerant way."""
        position, given, corrupt = start, 0, 0
        for tolerant in (False, True):
            keys = self.index.keys_before(position) if 0 < position < self.index.length else []
            try:
                with Decoder(self.path, tolerant) as decoder:
                    for index, picture in _numbered(decoder.frames(keys[0] if keys else None), self.index):
                        if index < position:
                            continue
                        yield index, picture
                        position, given, corrupt = index + 1, given + 1, corrupt + bool(picture.is_corrupt)
                break
            except (av.FFmpegError, OSError, VideoError):
                if tolerant:
                    raise
        self._report(start, given, corrupt)

    def _report(self, start: int, given: int, corrupt: int) -> None:
        found, declared = self.index.length, self.index.declared
        missing = max(found - start, 0) - given
        if missing > 0:
            text = f"{self.path}: {missing} of {found} frames could not be decoded and are missing"
            warnings.warn(VideoWarning(text), stacklevel=2)
        if corrupt:
            text = f"{self.path}: {corrupt} of {found} frames are damaged and were given as far as they decode"
            warnings.warn(VideoWarning(text), stacklevel=2)
        if declared > found and start == 0:
            text = f"{self.path}: the header promises {declared} frames, the file holds {found}"
            warnings.warn(VideoWarning(text), stacklevel=2)


def _numbered(pictures: Iterator[av.VideoFrame], index: PacketIndex) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decoded frames, each with its index; ones out of order or unknown to the index are left out."""
    position = 0
    for picture in pictures:
        found = position if index.pts is None else index.position(picture.pts)
        if found is not None and found >= position:
            position = found + 1
            yield found, picture


class _Cursor:
    """An open file for random access, at the frame last read."""

    def __init__(self, path: str, index: PacketIndex) -> None:
        self.decoder = Decoder(path, tolerant=True)
        self.convert = RgbConverter()
        self._index = index
        self._coming: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._last: tuple[int, av.VideoFrame] | None = None

    def seek(self, index: int) -> av.VideoFrame:
        """The picture at `index`: by decoding on from the last one within its GOP, else from a key frame."""
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        if self._last is not None and self._is_near(index):
            picture = self._advance(index)
            if picture is not None:
                return picture
        # A key frame that a container flags wrongly gives no or later pictures: go further back.
        keys = self._index.keys_before(index)
        for key in [*keys[:1], *keys[1:2], *keys[4:5], None]:
            self._coming = _numbered(self.decoder.frames(key), self._index)
            picture = self._advance(index)
            if picture is not None:
                return picture
        raise VideoError(f"{self.decoder.path}: frame {index} cannot be decoded")

    def _is_near(self, index: int) -> bool:
        assert self._last is not None
        if index < self._last[0]:
            return False
        if self._index.pts is None:
            return True
        keys = self._index.keys_before(index)
        return not keys or keys[0].pts <= self._index.pts[self._last[0]]

    def _advance(self, index: int) -> av.VideoFrame | None:
        for found, picture in self._coming:
            self._last = (found, picture)
            if found == index:
                return picture
            if found > index:
                return None
        self._last = None
        return None
