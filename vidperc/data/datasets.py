"""ClipDataset for training, VideoDataset for inference."""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..io import open_record, read_image
from ..structures import Clip, Frame, Instances, Video, VideoRecord
from .frame_samplers import FrameSampler, KeyFrame
from .problems import DataError, DataWarning
from .transforms import Transform, apply_all

Sample = tuple[int, int]  # (number of the clip, seed of its draws)
PATIENCE = 20  # bad samples in a row before a run is given up
BAD = (ValueError, OSError, RuntimeError, IndexError, cv2.error)  # what reading or changing a bad sample raises

T = TypeVar("T")
logger = logging.getLogger(__name__)


def read_frame(record: VideoRecord, index: int) -> Frame:
    """A frame of a record with its ground truth, read on its own.

    Raises:
        DataError: the record has no such frame, its picture cannot be read, or is not of the size that the
            annotations are made on; names video and frame.
    """
    try:
        frame = _load(record, index)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{record.name}, frame {index}: {error}") from error
    if record.size is not None and frame.size != record.size:
        sizes = "{1}x{0}, its annotations are of {3}x{2}".format(*frame.size, *record.size)
        raise DataError(f"{record.name}, frame {index}: the picture {frame.name or ''} is {sizes}")
    if frame.instances is None:
        frame.instances = record.instances.get(index)
    if frame.detections is None:
        frame.detections = record.detections.get(index)
    return frame


def _load(record: VideoRecord, index: int) -> Frame:
    if record.load is not None:
        return record.load(index)
    if record.frames is not None:
        path = record.frames[index]
        return Frame.from_array(read_image(path), index, name=str(path))
    return open_record(record, prefetch=0).read(index)


def record_length(record: VideoRecord) -> int:
    """Number of frames.

    Raises:
        DataError: the record does not tell.
    """
    if record.frames is not None:
        return len(record.frames)
    if record.length is None:
        raise DataError(f"{record.name}: the record names neither its frames nor its length")
    return record.length


class Clips(Dataset[Clip], ABC):
    """What a model trains on: clips, each asked for by its number and the seed of its draws."""

    @abstractmethod
    def __len__(self) -> int:
        """How many numbers there are."""

    @abstractmethod
    def __getitem__(self, sample: Sample) -> Clip:
        """The clip of (number, seed), a function of these alone."""


class ClipDataset(Clips):
    """Clips around key frames, transformed: what a model trains on.

    An item is asked for as (number, seed), so that it is a function of its arguments: the loader
    draws the seeds. A sample that cannot be read, or that a transform fails on, is logged with its file and
    counted; another one takes its place.

    Args:
        records: the videos; single images are videos of one frame.
        sampler: the frames of a clip.
        transforms: applied one after the other.
        key_stride: every how many frames of a video one is a key frame.
        keep_empty: also take key frames annotated with no object.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        sampler: FrameSampler | None = None,
        transforms: Sequence[Transform] = (),
        *,
        key_stride: int = 1,
        keep_empty: bool = False,
    ) -> None:
        self.records, self.transforms = list(records), list(transforms)
        self.sampler = sampler or KeyFrame()
        self.keep_empty = keep_empty
        self.keys = [
            (video, frame)
            for video, record in enumerate(self.records)
            for frame in key_frames(record, key_stride, keep_empty)
        ]
        if not self.keys:
            raise DataError(f"no frames to train on in {len(self.records)} videos: none has annotated objects")
        self.failures: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, sample: Sample) -> Clip:
        number, seed = sample
        rng = np.random.default_rng(seed)
        return replacing_bad(lambda chosen: self._clip(chosen, rng), self._name, number, len(self), rng, self.failures)

    def _name(self, number: int) -> str:
        video, frame = self.keys[number]
        return f"{self.records[video].name}, frame {frame}"

    def raw_clip(self, number: int, rng: np.random.Generator) -> Clip:
        """The clip around key frame `number`, before the transforms."""
        video, key = self.keys[number]
        record = self.records[video]
        numbers, position = self.sampler.sample(record_length(record), key, rng)
        cache = {index: read_frame(record, index) for index in dict.fromkeys(numbers)}
        frames = [_usable(cache[index], record) for index in numbers]
        return Clip(frames=frames, key=position, video=record.name)

    def draw(self, rng: np.random.Generator) -> int:
        """The number of another clip, for a transform that joins several."""
        return int(rng.integers(len(self.keys)))

    def _clip(self, number: int, rng: np.random.Generator) -> Clip:
        def more() -> Clip:
            return self.raw_clip(self.draw(rng), rng)

        clip = apply_all(self.transforms, self.raw_clip(number, rng), rng, more)
        objects = clip[clip.key].instances
        if objects is not None:
            objects.validate(f"{clip.video}, frame {clip[clip.key].index}")
        return clip

    def aspect_ratio(self, number: int) -> float | None:
        """Width over height of a clip's video, None where it is not known before reading."""
        size = self.records[self.keys[number][0]].size
        return None if size is None else size[1] / size[0]

    def labels(self, number: int) -> list[int]:
        """The classes annotated on a key frame; reads the frame only where the record does not know."""
        video, frame = self.keys[number]
        objects = self.records[video].instances.get(frame)
        if objects is None:
            objects = read_frame(self.records[video], frame).instances
        return [] if objects is None or objects.labels is None else sorted(set(objects.labels.tolist()))


def replacing_bad(
    make: Callable[[int], T],
    name: Callable[[int], str],
    number: int,
    size: int,
    rng: np.random.Generator,
    failures: Counter[str],
) -> T:
    """The sample of a number, of `size`; where it is bad, another one that is drawn.

    `failures` counts the bad ones by name; each is logged when it is met first.

    Raises:
        DataError: nothing but bad ones.
    """
    for _ in range(PATIENCE):
        try:
            return make(number)
        except BAD as error:
            bad, last, text = name(number), error, str(error)
            failures[bad] += 1
            text = text if text.startswith(bad) else f"{bad}: {text}"
            if failures[bad] == 1:
                logger.warning("a sample is left out (%d of %d so far): %s", len(failures), size, text)
            number = int(rng.integers(size))
    raise DataError(f"{PATIENCE} bad samples in a row, the last one {text}") from last


def key_frames(record: VideoRecord, stride: int, keep_empty: bool) -> list[int]:
    """The frames of a record that can be key frames: annotated with an object that is not ignored."""
    frames = range(0, record_length(record), stride)
    if not record.instances:
        return list(frames) if record.load is not None else []
    if keep_empty:
        return [index for index in frames if index in record.instances]
    return [index for index in frames if _counted(record.instances.get(index))]


def _counted(instances: Instances | None) -> bool:
    if instances is None or not len(instances):
        return False
    return instances.ignored is None or bool((~instances.ignored).any())


def _usable(frame: Frame, record: VideoRecord) -> Frame:
    """A copy with the objects whose boxes are finite and have an area.

    Raises:
        DataError: the frame is not annotated.
    """
    objects = frame.instances
    if objects is None:
        objects = Instances.empty(scores=False)
    bad = ~usable_boxes(objects.boxes)
    if bad.any():
        warnings.warn(
            f"{record.name}, frame {frame.index}: {int(bad.sum())} boxes are not finite or empty", DataWarning,
            stacklevel=2,
        )  # fmt: skip
        objects = objects[~bad]
    return replace(frame, instances=objects)


def usable_boxes(boxes: Tensor) -> Tensor:
    """Which boxes are finite and have an area, (N,) bool."""
    return torch.isfinite(boxes).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)


class VideoDataset(Dataset[Video]):
    """Whole videos, opened when asked for, their ground truth on the frames."""

    def __init__(self, records: Sequence[VideoRecord], prefetch: int = 8) -> None:
        self.records, self.prefetch = list(records), prefetch

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, number: int) -> Video:
        return Video(open_record(self.records[number], prefetch=self.prefetch))
