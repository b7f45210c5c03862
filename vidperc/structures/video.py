"""Frame, Clip, Video: pictures in time, whatever they are read from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from .instances import Instances

UNKNOWN_CLASS = 255  # in a semantic map: a pixel whose class is not known


@dataclass(slots=True)
class Frame:
    """One picture of a video, with what is known of it.

    `image` usually is a (3, H, W) view of (H, W, 3) memory, which is channels_last for free.
    """

    image: Tensor  # (3, H, W) uint8 or float RGB, 0 to 255; the model normalises
    index: int = 0  # position in its video, for readers and writers; models do not branch on it
    time: float | None = None  # presentation time in seconds
    instances: Instances | None = None  # ground truth
    detections: Instances | None = None  # given detections (public detections, files)
    name: str | None = None  # file name where the frame is a file
    semantic: Tensor | None = None  # (H, W) uint8 ground truth: the class of every pixel, or UNKNOWN_CLASS

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[-2], self.image.shape[-1]

    @property
    def array(self) -> np.ndarray:
        """The picture as (H, W, 3) RGB on the CPU, without a copy where the memory allows."""
        return np.asarray(self.image.permute(1, 2, 0).cpu().numpy())

    @staticmethod
    def from_array(rgb: np.ndarray, index: int = 0, time: float | None = None, name: str | None = None) -> Frame:
        """A frame over an (H, W, 3) uint8 RGB array, sharing its memory.

        Raises:
            ValueError: another shape or type.
        """
        rgb = np.asarray(rgb)
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise ValueError(f"frame {index}: expected an (H, W, 3) uint8 RGB array, got {rgb.dtype} {rgb.shape}")
        if not rgb.flags.writeable or any(stride < 0 for stride in rgb.strides):
            rgb = rgb.copy()
        return Frame(image=torch.from_numpy(rgb).permute(2, 0, 1), index=index, time=time, name=name)


@dataclass(slots=True)
class Clip:
    """Frames that train together, in the order the frame sampler gave them."""

    frames: list[Frame]
    key: int = 0  # position in `frames` of the frame whose objects are the targets
    video: str = ""

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Frame:
        return self.frames[index]


@dataclass(slots=True)
class VideoRecord:
    """A video of a data set, not yet opened: where its frames are and what is annotated.

    `open_frame(i)` is given by the reader when frames are not plain image files.
    """

    name: str
    frames: Sequence[str | Path] | None = field(default=None, repr=False)  # image files; None: `source` is a video file
    source: str | Path | None = None
    length: int | None = None
    size: tuple[int, int] | None = None  # (height, width)
    fps: float | None = None
    times: list[float] | None = field(default=None, repr=False)
    instances: Mapping[int, Instances] = field(
        default_factory=dict, repr=False
    )  # by frame index; absent: not annotated
    detections: dict[int, Instances] = field(default_factory=dict, repr=False)  # public detections by frame index
    classes: tuple[str, ...] = field(default=(), repr=False)
    attributes: dict[str, object] = field(default_factory=dict, repr=False)
    load: Callable[[int], Frame] | None = field(default=None, repr=False)


@runtime_checkable
class FrameSource(Protocol):
    """Where a video's frames come from. `length` is None for a live source, which has no random access."""

    @property
    def name(self) -> str: ...
    @property
    def fps(self) -> float | None: ...
    @property
    def size(self) -> tuple[int, int] | None: ...  # (height, width), None until the first frame is known
    @property
    def length(self) -> int | None: ...

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Frames in order from `start`; their index counts from the source's beginning."""
        ...

    def read(self, index: int) -> Frame:
        """The frame at `index`, exactly.

        Raises:
            IndexError: outside the video.
            TypeError: a live source.
        """
        ...


class ArrayFrames:
    """A frame source over arrays in memory, or over any live iterator of arrays or frames."""

    def __init__(
        self, frames: Sequence[np.ndarray] | np.ndarray, fps: float | None = None, name: str = "array"
    ) -> None:
        if len(frames) == 0:
            raise ValueError(f"{name}: a video needs at least one frame")
        self._frames = frames
        self.name, self.fps = name, fps
        self.length: int | None = len(frames)
        first = self.read(0)
        self.size: tuple[int, int] | None = first.size

    def frames(self, start: int = 0) -> Iterator[Frame]:
        return (self.read(index) for index in range(start, len(self._frames)))

    def read(self, index: int) -> Frame:
        if not 0 <= index < len(self._frames):
            raise IndexError(f"{self.name}: frame {index} of {len(self._frames)}")
        item = self._frames[index]
        if isinstance(item, Frame):
            return item
        return Frame.from_array(item, index, None if self.fps is None else index / self.fps)


class _SliceFrames:
    """Frames start, start + step, ... of another source, counted from 0."""

    def __init__(self, base: FrameSource, indices: range) -> None:
        self._base, self._indices = base, indices
        self.name, self.size = base.name, base.size
        self.fps = None if base.fps is None else base.fps / max(indices.step, 1)
        self.length: int | None = len(indices)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        indices = self._indices[start:]
        if not indices:
            return
        if indices.step < 0:
            yield from (self.read(index) for index in range(start, len(self._indices)))
            return
        for frame in self._base.frames(indices[0]):
            if frame.index in self._indices:
                yield _renumbered(frame, self._indices.index(frame.index))
            if frame.index >= indices[-1]:
                return

    def read(self, index: int) -> Frame:
        if not 0 <= index < len(self._indices):
            raise IndexError(f"{self.name}: frame {index} of {len(self._indices)}")
        return _renumbered(self._base.read(self._indices[index]), index)


def _renumbered(frame: Frame, index: int) -> Frame:
    return replace(frame, index=index)


class Video:
    """Frames in order, with their timing: iterate, index, slice.

    `len(video)` and `video[i]` work where the source knows its end; a live source only iterates.
    `prompt` is what a single-object tracker is asked to follow: the objects of the first frame.
    """

    def __init__(self, source: FrameSource, *, prompt: Instances | Sequence[float] | Tensor | None = None) -> None:
        self.source = source
        self.prompt = as_prompt(prompt, source.name)

    @classmethod
    def from_frames(
        cls,
        frames: Sequence[np.ndarray] | np.ndarray,
        fps: float | None = None,
        prompt: Instances | Sequence[float] | Tensor | None = None,
        name: str = "array",
    ) -> Video:
        """A video of (H, W, 3) uint8 RGB arrays in memory.

        Raises:
            ValueError: no frames, or a frame of another shape or type.
        """
        return Video(ArrayFrames(frames, fps, name), prompt=prompt)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def fps(self) -> float | None:
        return self.source.fps

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the first frame, None while a live source has not given one."""
        return self.source.size

    @property
    def is_live(self) -> bool:
        return self.source.length is None

    @property
    def length(self) -> int | None:
        """Number of frames, None for a live source."""
        return self.source.length

    def __len__(self) -> int:
        if self.source.length is None:
            raise TypeError(f"{self.name} is live: it has no length")
        return self.source.length

    def __iter__(self) -> Iterator[Frame]:
        return self.source.frames()

    def __getitem__(self, index: int | slice) -> Frame | Video:
        if isinstance(index, slice):
            return Video(_SliceFrames(self.source, range(len(self))[index]))
        return self.source.read(range(len(self))[index])

    def frame(self, index: int) -> Frame:
        """The frame at `index`, exactly; negative counts from the end."""
        return self.source.read(range(len(self))[index])


def as_prompt(prompt: Instances | Sequence[float] | Tensor | None, video: str) -> Instances | None:
    """A prompt as Instances: one xyxy box, several boxes (N, 4), or Instances as they are.

    Raises:
        ValueError: not boxes, not finite, or of no area; with the name of the video.
    """
    where = f"{video}, first frame: prompt"
    if prompt is None:
        return None
    if not isinstance(prompt, Instances):
        try:
            boxes = torch.as_tensor(prompt, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError):  # words, rows of unequal lengths
            raise ValueError(f"{where}: expected a box x1 y1 x2 y2 or boxes (N, 4), got {prompt!r}") from None
        if boxes.shape[-1:] != (4,) or boxes.ndim > 2:
            raise ValueError(f"{where}: expected a box x1 y1 x2 y2 or boxes (N, 4), got shape {tuple(boxes.shape)}")
        prompt = Instances(boxes=boxes.reshape(-1, 4))
    prompt.validate(where)
    if len(prompt) == 0:
        raise ValueError(f"{where}: there are no boxes")
    flat = (prompt.boxes[:, 2:] <= prompt.boxes[:, :2]).any(1)
    if flat.any():
        row = int(flat.nonzero()[0])
        raise ValueError(f"{where}: box {row} has no area (x1 y1 x2 y2 expected): {prompt.boxes[row].tolist()}")
    return prompt
