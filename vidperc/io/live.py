"""Live sources: iterators of frames, cameras and network streams. They have no length and no random access."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.container import InputContainer

from ..structures import Frame
from .decoder import RgbConverter, reason
from .errors import VideoError, VideoWarning
from .prefetch import prefetch


class LiveFrames:
    """A live source over an iterator of (H, W, 3) uint8 RGB arrays or of frames.

    It can be iterated once; iterating again goes on where the last one stopped. With `latest`, what
    comes while the consumer is busy is dropped, so each frame is the newest (its index and time tell
    what was dropped); otherwise every frame is given. `depth` frames are read ahead in the background,
    by default none: an iterator that waits for its consumer would wait for ever.
    """

    length: int | None = None

    def __init__(
        self,
        frames: Iterable[np.ndarray | Frame],
        fps: float | None = None,
        name: str = "live",
        latest: bool = False,
        depth: int = 0,
    ) -> None:
        self.name, self.fps = name, fps
        self.size: tuple[int, int] | None = None
        self._source = self._as_frames(iter(frames))
        if latest or depth:
            self._source = prefetch(self._source, 1 if latest else depth, drop_oldest=latest)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for frame in self._source:
            if frame.index >= start:
                yield frame

    def read(self, index: int) -> Frame:
        raise TypeError(f"{self.name} is live: frames come in order only")

    def close(self) -> None:
        """End the source: its thread, camera or connection."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def _as_frames(self, items: Iterator[np.ndarray | Frame]) -> Iterator[Frame]:
        for index, item in enumerate(items):
            if isinstance(item, Frame):
                frame = item
            else:
                frame = Frame.from_array(item, index, None if self.fps is None else index / self.fps)
            if self.size is None:
                self.size = frame.size
            yield frame


def camera_frames(camera: int) -> Iterator[Frame]:
    """Frames of the camera with this number; `time` counts in seconds from the first.

    Raises:
        VideoError: the camera cannot be opened.
    """
    capture = cv2.VideoCapture(camera)
    try:
        if not capture.isOpened():
            raise VideoError(f"camera {camera}: cannot be opened")
        index, began = 0, None
        while True:
            given, image = capture.read()
            if not given:
                return
            now = time.monotonic()
            began = now if began is None else began
            yield Frame.from_array(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), index, now - began)
            index += 1
    finally:
        capture.release()


@dataclass(slots=True, frozen=True)
class Reconnect:
    """How often and how patiently a lost stream is opened again, before giving up."""

    attempts: int = 5  # in a row, without a frame between them
    first_wait: float = 0.5  # seconds; doubled with every attempt
    longest_wait: float = 8.0
    timeout: float = 10.0  # seconds without data after which a connection counts as lost


PATIENCE = Reconnect()


def stream_frames(
    url: str, reconnect: Reconnect = PATIENCE, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Frame]:
    """Frames of an rtsp:// or http:// stream, through reconnections.

    Index and time go on over a reconnection: a live stream's time by the clock on the wall, while a
    file served over http goes on behind its last frame. Over http a stream may end; over rtsp an
    end is a broken connection.

    Raises:
        VideoError: the stream cannot be opened (any more).
    """
    began, index, failures, last_time = time.monotonic(), 0, 0, -1.0
    is_rtsp = url.lower().startswith("rtsp")
    while True:
        problem = "the stream ended"
        try:
            with _connect(url, reconnect.timeout) as container:
                is_file = not is_rtsp and (container.size or 0) > 0
                offset = 0.0 if is_file or index == 0 else max(time.monotonic() - began, last_time)
                for seconds, rgb in _pictures(container):
                    if is_file and seconds <= last_time:
                        continue  # shown before the connection broke
                    last_time = max(offset + seconds, last_time)
                    yield Frame.from_array(rgb, index, last_time)
                    index, failures = index + 1, 0
                if not is_rtsp:
                    return
        except (av.FFmpegError, OSError) as error:
            problem = reason(error)
        failures += 1
        if failures > reconnect.attempts:
            raise VideoError(f"{url}: given up after {reconnect.attempts} attempts to connect again ({problem})")
        wait = min(reconnect.first_wait * 2 ** (failures - 1), reconnect.longest_wait)
        text = f"{url}: {problem} after {index} frames; attempt {failures} of {reconnect.attempts} in {wait:g} s"
        warnings.warn(VideoWarning(text), stacklevel=2)
        sleep(wait)


def _connect(url: str, timeout: float) -> InputContainer:
    options = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
    container = av.open(url, timeout=timeout, options=options)
    if not container.streams.video:
        container.close()
        raise VideoError(f"{url}: has no video stream")
    return container


def _pictures(container: InputContainer) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds since the first frame, RGB) of one connection; damaged packets are passed over."""
    stream = container.streams.video[0]
    stream.thread_type = "SLICE"  # frame threads would hold frames back
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    convert, tick = RgbConverter(), float(stream.time_base or 0)
    first: float | None = None
    count = 0
    for packet in container.demux(stream):
        try:
            pictures = packet.decode()
        except av.InvalidDataError:
            continue
        for picture in pictures:
            seconds = count / rate if picture.pts is None else picture.pts * tick
            first = seconds if first is None else first
            yield seconds - first, convert(picture)
            count += 1
