"""MOTChallenge sequence folders as videos: seqinfo.ini, img1/, det/ and gt/."""

from __future__ import annotations

import configparser
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..structures import Frame, FrameSource, Instances
from .errors import ResultError, VideoError, VideoWarning
from .images import IMAGE_SUFFIXES, ImageFrames


@dataclass(slots=True, frozen=True)
class SequenceInfo:
    """What a `seqinfo.ini` says."""

    name: str
    image_folder: str = "img1"
    fps: float | None = None
    length: int | None = None
    size: tuple[int, int] | None = None  # (height, width)
    suffix: str = ".jpg"


def read_seqinfo(path: str | Path) -> SequenceInfo:
    """Read a `seqinfo.ini`; `path` is the file or its folder.

    Raises:
        FileNotFoundError: no such file.
        ResultError: not an ini file with a [Sequence] section, or a value that is no number.
    """
    path = Path(path)
    path = path / "seqinfo.ini" if path.is_dir() else path
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
        section = parser["Sequence"]
        height, width = section.getint("imHeight"), section.getint("imWidth")
        return SequenceInfo(
            name=section.get("name", path.parent.name),
            image_folder=section.get("imDir", "img1"),
            fps=section.getfloat("frameRate"),
            length=section.getint("seqLength"),
            size=(height, width) if height and width else None,
            suffix=section.get("imExt", ".jpg"),
        )
    except (configparser.Error, KeyError, ValueError) as error:
        raise ResultError(f"{path}: not a seqinfo.ini ({error})") from error


class AnnotatedFrames:
    """Another source with ground truth and given detections attached to its frames.

    A frame absent from `instances` or `detections` keeps what its source gave it; where the mapping is
    given but has no entry, `detections` become empty: there was a detector and it found nothing.
    """

    def __init__(
        self,
        base: FrameSource,
        instances: Mapping[int, Instances] | None = None,
        detections: Mapping[int, Instances] | None = None,
    ) -> None:
        self._base, self._instances, self._detections = base, instances or {}, detections
        self.name, self.fps = base.name, base.fps

    @property
    def size(self) -> tuple[int, int] | None:
        return self._base.size

    @property
    def length(self) -> int | None:
        return self._base.length

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for frame in self._base.frames(start):
            yield self._annotated(frame)

    def read(self, index: int) -> Frame:
        return self._annotated(self._base.read(index))

    def _annotated(self, frame: Frame) -> Frame:
        detections = frame.detections
        if self._detections is not None:
            found = self._detections.get(frame.index)
            detections = Instances.empty() if found is None else found
        instances = self._instances.get(frame.index, frame.instances)
        return replace(frame, instances=instances, detections=detections)


def sequence_images(folder: Path, info: SequenceInfo) -> ImageFrames:
    """The images of a sequence; frame k is the file numbered k + 1, a gap in the numbers a missing frame.

    Raises:
        VideoError: no images.
    """
    numbered = {
        int(path.stem): path
        for path in (folder / info.image_folder).glob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and path.stem.isdigit() and int(path.stem) > 0
    }
    if not numbered:
        raise VideoError(f"{folder / info.image_folder}: no images named by numbers from 1")
    last = max(numbered)
    if info.length is not None and last != info.length:
        text = f"{folder}: seqinfo.ini says {info.length} frames, the images go to {last}"
        warnings.warn(VideoWarning(text), stacklevel=2)
    return ImageFrames([numbered.get(k) for k in range(1, last + 1)], info.fps, info.name)
