"""Writing videos that browsers play, and folders of images; frame by frame, in flat memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from ..structures import Frame
from .decoder import ONE_THREAD, reason
from .errors import VideoError, VideoWarning

CLOCK = 90_000  # ticks per second of the written time stamps, as MPEG does
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
DEFAULT_FPS = 25.0
H264_ENCODER = "libx264"


class VideoWriter:
    """Writes RGB frames as H.264 with the times of their source. Use it as a context manager.

    Frames carry their time, so variable frame rates are kept; without one they follow at `fps`. Odd
    sizes are padded by repeating the last row or column; a frame of another size than the first is
    fitted into it. The file appears under its name when it is complete, which it is on leaving the
    `with` block even through an exception or Ctrl-C, with the frames written so far.

    Without an H.264 encoder, OpenCV writes MPEG-4 at a constant rate instead; a `VideoWarning` says so.

    Raises:
        VideoError: the file cannot be written (also later: a full disk), naming it and the reason.
    """

    def __init__(self, path: str | Path, fps: float | None = None, crf: int = 21, preset: str = "veryfast") -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in FORMATS:
            raise VideoError(f"{path}: cannot write {self.path.suffix or 'this'}, use one of {', '.join(FORMATS)}")
        self.fps = fps or DEFAULT_FPS
        self.frames = 0
        self._partial = self.path.with_name(f".{self.path.stem}.part{self.path.suffix}")
        self._options = {"crf": str(crf), "preset": preset}
        self._encoder: _H264 | _Mpeg4 | None = None
        self._size = (0, 0)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VideoError(f"{path}: cannot be written ({reason(error)})") from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except VideoError:
            if error is None:  # else the first error is the one to be told
                raise

    def write(self, picture: Frame | np.ndarray, time: float | None = None) -> None:
        """Add a frame, or an (H, W, 3) uint8 RGB array, to be shown at `time` in seconds."""
        rgb = picture.array if isinstance(picture, Frame) else picture
        if time is None and isinstance(picture, Frame):
            time = picture.time
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
            raise VideoError(
                f"{self.path}: frame {self.frames}: expected (H, W, 3) uint8 RGB, got {rgb.dtype} {rgb.shape}"
            )
        try:
            if self._encoder is None:
                self._size = rgb.shape[:2]
                self._encoder = self._open()
            self._encoder.write(_fitted(rgb, self._size), time)
        except (av.FFmpegError, OSError) as error:
            self._abandon()
            raise VideoError(f"{self.path}: cannot be written ({reason(error)}), frame {self.frames}") from error
        self.frames += 1

    def close(self) -> None:
        """Complete the file; without any frame there is none."""
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        try:
            encoder.close()
            self._partial.replace(self.path)
        except (av.FFmpegError, OSError) as error:
            self._abandon()
            raise VideoError(f"{self.path}: cannot be completed ({reason(error)})") from error

    def _open(self) -> _H264 | _Mpeg4:
        height, width = (side + side % 2 for side in self._size)
        if H264_ENCODER in av.codecs_available:
            kind = FORMATS[self.path.suffix.lower()]
            return _H264(self._partial, kind, (height, width), self.fps, self._options)
        text = f"{self.path}: no H.264 encoder here, writing MPEG-4 (mp4v) at {self.fps:g} frames/s instead"
        warnings.warn(VideoWarning(text), stacklevel=3)
        return _Mpeg4(self._partial, (height, width), self.fps)

    def _abandon(self) -> None:
        """Give up a file that cannot be completed: what is left of it would not play and fills the disk."""
        self._encoder = None
        self._partial.unlink(missing_ok=True)


class _H264:
    """An open H.264 stream; standard definition in BT.601, larger in BT.709, and marked so."""

    def __init__(self, path: Path, kind: str, size: tuple[int, int], fps: float, options: Mapping[str, str]) -> None:
        moov_first = {"movflags": "+faststart"} if kind in ("mp4", "mov") else {}
        self._container = av.open(str(path), "w", format=kind, options=moov_first)
        stream = self._container.add_stream(H264_ENCODER, rate=Fraction(fps).limit_denominator(1001))
        self._stream = cast(VideoStream, stream)
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt, self._stream.options = "yuv420p", dict(options)
        self._stream.codec_context.time_base = self._stream.time_base = Fraction(1, CLOCK)
        self._wide = size[0] > 576
        context = self._stream.codec_context
        context.colorspace, context.color_range = (1, 1) if self._wide else (6, 1)
        context.color_primaries, context.color_trc = (1, 1) if self._wide else (6, 6)
        self._reformatter = VideoReformatter()
        self._step, self._last = round(CLOCK / fps), -1
        self._first: float | None = None

    def write(self, rgb: np.ndarray, time: float | None) -> None:
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(rgb, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709 if self._wide else Colorspace.ITU601,
            **ONE_THREAD,
        )
        frame.pts, frame.time_base = self._stamp(time), Fraction(1, CLOCK)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def _stamp(self, time: float | None) -> int:
        """Ticks since the first frame, always growing."""
        if time is None:
            stamp = 0 if self._last < 0 else self._last + self._step
        else:
            self._first = time if self._first is None else self._first
            stamp = round((time - self._first) * CLOCK)
        self._last = max(stamp, self._last + 1)
        return self._last

    def close(self) -> None:
        try:
            for packet in self._stream.encode(None):
                self._container.mux(packet)
        finally:
            self._container.close()


class _Mpeg4:
    """OpenCV's MPEG-4 writer, which every build of it has."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size[::-1])
        if not self._writer.isOpened():
            raise OSError("OpenCV cannot open it")

    def write(self, rgb: np.ndarray, time: float | None) -> None:
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._writer.release()


def _fitted(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at `size` and padded to even sides; contiguous."""
    if rgb.shape[:2] != size:
        scale = min(size[0] / rgb.shape[0], size[1] / rgb.shape[1])
        height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
        canvas = np.zeros((*size, 3), np.uint8)
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        canvas[top : top + height, left : left + width] = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        rgb = canvas
    if size[0] % 2 or size[1] % 2:
        return cv2.copyMakeBorder(rgb, 0, size[0] % 2, 0, size[1] % 2, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(rgb)


class ImageWriter:
    """Writes frames as image files `000001.jpg`, ... into a folder, numbered as MOTChallenge does.

    A `Frame` is numbered by its index, an array by how many came before.

    Raises:
        VideoError: a file cannot be written, naming it.
    """

    def __init__(self, folder: str | Path, suffix: str = ".jpg", quality: int = 95) -> None:
        self.folder, self.suffix, self.frames = Path(folder), suffix, 0
        self._options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix.lower() in (".jpg", ".jpeg") else []
        self.folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, picture: Frame | np.ndarray, time: float | None = None) -> None:
        """Write a frame, or an (H, W, 3) uint8 RGB array; `time` is not kept."""
        rgb, index = (picture.array, picture.index) if isinstance(picture, Frame) else (picture, self.frames)
        path = self.folder / f"{index + 1:06d}{self.suffix}"
        try:
            written = cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), self._options)
        except cv2.error as error:
            raise VideoError(f"{path}: cannot be written ({error.err or error})") from error
        if not written:
            raise VideoError(f"{path}: cannot be written (no space, no permission?)")
        self.frames += 1

    def close(self) -> None:
        """Nothing is left to do."""
