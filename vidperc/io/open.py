"""From whatever a person means by a video to a frame source."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from ..structures import ArrayFrames, Frame, FrameSource, Video, VideoRecord
from .errors import VideoError
from .files import FileFrames
from .images import IMAGE_SUFFIXES, ImageFrames, list_images, natural_key
from .live import PATIENCE, LiveFrames, Reconnect, camera_frames, stream_frames
from .motchallenge import AnnotatedFrames, read_seqinfo, sequence_images
from .results import read_mot

Source = (
    str | Path | int | np.ndarray | Sequence[str | Path | np.ndarray] | Iterable[np.ndarray | Frame] | FrameSource
    | Video | VideoRecord
)  # fmt: skip
Take = Literal["every", "latest"]
STREAMS = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://", "srt://")


def open_source(
    source: Source,
    *,
    name: str | None = None,
    fps: float | None = None,
    take: Take = "every",
    prefetch: int = 8,
    same_size: bool = True,
    reconnect: Reconnect = PATIENCE,
) -> FrameSource:
    """The frame source for a path, URL, camera number, arrays, iterator, record or frame source.

    Raises:
        FileNotFoundError: no such file, or a glob that matches nothing.
        VideoError: something that cannot be read as a video; the message names it.
        TypeError: a source of another type.
        ValueError: `take="latest"` for a source that is not live.
    """
    if isinstance(source, Video):
        return source.source
    if isinstance(source, Path) and str(source).startswith(("rtsp:/", "http:/", "https:/")):
        source = str(source).replace(":/", "://", 1)
    live = _open_live(source, name, fps, take, prefetch, reconnect)
    if live is not None:
        return live
    if take != "every":
        raise ValueError(f"take={take!r} is for cameras, streams and iterators; {_short(source)} is not live")
    if isinstance(source, str | Path):
        return open_path(source, name=name, fps=fps, prefetch=prefetch, same_size=same_size)
    if isinstance(source, VideoRecord):
        return open_record(source, prefetch=prefetch, same_size=same_size)
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, np.ndarray):
        return ArrayFrames(source[None] if source.ndim == 3 else source, fps, name or "array")
    if isinstance(source, Sequence):
        if source and all(isinstance(item, str | Path) for item in source):
            return ImageFrames(list(source), fps, name or "images", same_size, prefetch)  # type: ignore[arg-type]
        return ArrayFrames(source, fps, name or "array")  # type: ignore[arg-type]
    raise TypeError(f"cannot read a video from {_short(source)}: expected a path, URL, camera number, arrays or frames")


def _open_live(
    source: Source, name: str | None, fps: float | None, take: Take, prefetch: int, reconnect: Reconnect
) -> LiveFrames | None:
    latest = take == "latest"
    if isinstance(source, bool | np.bool_):
        raise TypeError(f"cannot read a video from {source}")
    if isinstance(source, int | np.integer):
        return LiveFrames(camera_frames(int(source)), fps, name or f"camera {source}", latest, prefetch)
    if isinstance(source, str) and source.lower().startswith(STREAMS):
        return LiveFrames(stream_frames(source, reconnect), fps, name or source, latest, prefetch)
    if isinstance(source, Iterator) or (
        isinstance(source, Iterable)
        and not isinstance(source, str | np.ndarray | Sequence | FrameSource | Path | VideoRecord)
    ):
        return LiveFrames(source, fps, name or "live", latest)
    return None


def open_path(
    path: str | Path, *, name: str | None = None, fps: float | None = None, prefetch: int = 8, same_size: bool = True
) -> FrameSource:
    """The frame source for a video file, an image, a folder of images, a MOTChallenge sequence or a glob."""
    text, path = str(path), Path(path)
    if path.is_dir():
        if (path / "seqinfo.ini").is_file():
            return open_sequence(path, prefetch=prefetch)
        return ImageFrames(list_images(path), fps, name or path.name, same_size, prefetch)
    if not path.exists() and glob.has_magic(text):
        paths = [Path(found) for found in glob.glob(text) if Path(found).suffix.lower() in IMAGE_SUFFIXES]
        if not paths:
            raise FileNotFoundError(f"{text}: matches no image files")
        in_order = sorted(paths, key=_folder_key)
        return ImageFrames(in_order, fps, name or path.parent.name, same_size, prefetch)
    if not path.exists():
        raise FileNotFoundError(f"{text}: no such file or folder")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFrames([path], fps, name or path.stem)
    return FileFrames(path, name, prefetch)


def open_sequence(folder: str | Path, *, prefetch: int = 8) -> FrameSource:
    """A MOTChallenge sequence folder, with gt/gt.txt and det/det.txt attached to its frames where present.

    The pictures are the images of img1/, or else the one video file of the folder.
    """
    folder = Path(folder)
    info = read_seqinfo(folder)
    base: FrameSource
    if (folder / info.image_folder).is_dir():
        base = sequence_images(folder, info)
    else:
        videos = [path for path in folder.iterdir() if path.suffix.lower() in {".mp4", ".avi", ".mkv", ".webm"}]
        if len(videos) != 1:
            raise VideoError(f"{folder}: has neither {info.image_folder}/ nor one video file")
        base = FileFrames(videos[0], info.name, prefetch)
    truth, detections = folder / "gt" / "gt.txt", folder / "det" / "det.txt"
    return AnnotatedFrames(
        base,
        read_mot(truth).as_ground_truth() if truth.is_file() else None,
        read_mot(detections).as_detections() if detections.is_file() else None,
    )


def open_record(record: VideoRecord, *, prefetch: int = 8, same_size: bool = True) -> FrameSource:
    """A data set's record as a frame source, with its annotations attached."""
    base: FrameSource
    if record.load is not None:
        base = RecordFrames(record)
    elif record.frames is not None:
        base = ImageFrames(record.frames, record.fps, record.name, same_size, prefetch)
    elif record.source is not None:
        base = open_path(record.source, name=record.name, fps=record.fps, prefetch=prefetch)
    else:
        raise VideoError(f"{record.name}: the record names neither frames nor a source")
    return AnnotatedFrames(base, record.instances, record.detections or None)


class RecordFrames:
    """The frames of a record that says itself how to load each."""

    def __init__(self, record: VideoRecord) -> None:
        if record.load is None or record.length is None:
            raise VideoError(f"{record.name}: the record needs `load` and `length`")
        self._load = record.load
        self.length: int = record.length
        self.name, self.fps, self.size = record.name, record.fps, record.size

    def frames(self, start: int = 0) -> Iterator[Frame]:
        return (self._load(index) for index in range(start, self.length))

    def read(self, index: int) -> Frame:
        if not 0 <= index < self.length:
            raise IndexError(f"{self.name}: frame {index} of {self.length}")
        return self._load(index)


def _folder_key(path: Path) -> tuple[list, list]:
    return natural_key(str(path.parent).replace("/", "_")), natural_key(path)


def _short(source: object) -> str:
    text = repr(source)
    return text if len(text) < 80 else f"{text[:77]}..."
