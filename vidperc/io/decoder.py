"""Decoding of one video file with FFmpeg (PyAV), from its start or from a key frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from .errors import VideoError

Clock = Literal["pts", "dts"]  # which of a packet's times names its frame

# Converting colours in many threads costs more than it brings. PyAV has not always asked how many.
ONE_THREAD: dict[str, Any] = {"threads": 1} if "threads" in (VideoReformatter.reformat.__doc__ or "") else {}


@dataclass(slots=True, frozen=True)
class Key:
    """A key frame's packet: where decoding can start."""

    stamp: int  # by the decoder's clock
    dts: int | None


class Decoder:
    """An open file with its decoder; a context manager.

    With `tolerant`, packets that cannot be decoded are passed over, which needs slice
    threads: with frame threads one error loses the frames of other threads. Without, they raise.
    Frames and packets carry as `pts` their stamp by the file's `clock`.

    Raises:
        FileNotFoundError: no such file.
        VideoError: not a video, or a container without a video stream.
    """

    def __init__(self, path: str | Path, tolerant: bool) -> None:
        self.path, self.tolerant = str(path), tolerant
        self._started = False
        if not Path(self.path).is_file():
            raise FileNotFoundError(f"{self.path}: no such file")
        try:
            self.container = av.open(self.path)
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self.path}: cannot be opened as a video ({reason(error)})") from error
        # AVI has no presentation times: its packets, so their frames, are named by decoding time.
        self.clock: Clock = "dts" if self.container.format.name == "avi" else "pts"
        if not self.container.streams.video:
            self.container.close()
            raise VideoError(f"{self.path}: has no video stream")
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "SLICE" if tolerant else "AUTO"

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.container.close()

    def packets(self) -> Iterator[av.Packet]:
        """Packets of the video stream up to its end or to where the file is broken, then the flush packet."""
        try:
            for packet in self.container.demux(self.stream):
                if self.clock == "dts" and packet.size:
                    packet.pts = packet.dts
                yield packet
        except (av.FFmpegError, OSError):
            if not self.tolerant:
                raise
            yield from self._flush()

    def _flush(self) -> list[av.Packet]:
        flush = av.Packet()
        flush.stream = self.stream
        return [flush]

    def frames(
        self, key: Key | None = None, on_packet: Callable[[av.Packet], None] | None = None
    ) -> Iterator[av.VideoFrame]:
        """Decoded frames in order of presentation, from the file's start or from `key`'s packet.

        The first ones behind a key frame may be presented before it and then are not whole (open GOP).
        """
        if key is None and self._started:
            self._seek(None)
        self._started = True
        for packet in self.packets() if key is None else self._packets_from(key):
            if on_packet is not None and packet.size:
                on_packet(packet)
            try:
                decoded = packet.decode()
            except (av.FFmpegError, OSError):
                if not self.tolerant:
                    raise
                continue
            yield from decoded

    def _packets_from(self, key: Key) -> Iterator[av.Packet]:
        """Packets from exactly the key's on: seeks lands at or before it, then passes over what lies between.

        Containers seek by different clocks (mp4 by decoding time, Matroska by presentation time),
        so where the seek landed is never trusted.
        """
        for target in (key.stamp if key.dts is None else min(key.stamp, key.dts), None):
            self._seek(target)
            packets = self.packets()
            for packet in packets:
                if packet.is_keyframe and packet.pts == key.stamp:
                    yield packet
                    yield from packets
                    return
                if packet.size == 0 or (target is not None and _is_past(packet, key)):
                    break
        raise VideoError(
            f"{self.path}: key frame at {float(key.stamp * (self.stream.time_base or 1)):.3f} s not found again"
        )

    def _seek(self, target: int | None) -> None:
        try:
            if target is not None:
                self.container.seek(target, stream=self.stream, backward=True)
                return
        except (av.FFmpegError, OSError):
            pass
        # No seeking in this container, or it went too far: from the start.
        self.container.close()
        self.container = av.open(self.path)
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = "SLICE" if self.tolerant else "AUTO"


def _is_past(packet: av.Packet, key: Key) -> bool:
    return packet.dts is not None and key.dts is not None and packet.dts > key.dts


def reason(error: BaseException) -> str:
    """FFmpeg's words for an error, without its numbers and the path."""
    return str(getattr(error, "strerror", None) or error)


class RgbConverter:
    """Decoded frames as (H, W, 3) uint8 RGB, upright where the file says that the camera was turned."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        rgb = self._reformatter.reformat(frame, format="rgb24", **ONE_THREAD)
        array = rgb.to_ndarray()
        turns = round(getattr(frame, "rotation", 0) / 90) % 4
        return np.ascontiguousarray(np.rot90(array, turns)) if turns else array
