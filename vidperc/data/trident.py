"""Clips of one object in three places of a video (STARK, https://arxiv.org/abs/2103.17154, section 3.2)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..structures import Clip, Frame, Instances, VideoRecord
from .datasets import Clips, Sample, read_frame, record_length, replacing_bad, usable_boxes
from .problems import DataError
from .single_truth import SingleTruth
from .transforms import Transform, apply_all

TRIES = 100  # draws of frames near each other, before a video is given up
CENTRAL = 1 / 8  # of a picture's sides: the box that is looked about where the object is not to be seen


@dataclass(frozen=True, slots=True)
class ObjectTrack:
    """One object of a record, and the frames in which it is to be seen."""

    record: int
    key: int | None  # its id; its row where a record has no ids; None where the truth only comes with the frames
    frames: np.ndarray


class TridentClips(Clips):
    """Clips of two templates of an object and, last, a search frame; each frame has one box.

    The first template and the search frame are any two in which the object is seen. The second template is near the
    search frame, on the side of the first. In a still picture all three are that picture. Each object has one
    number, however long it is seen. The ids tell whether the search frame shows the templates' object: 0 if it does.
    In a negative clip it is one of the video's frames without the object, with a box in the middle of it, and where
    there is none a frame of another object; its id is 1.

    A sample that cannot be read, or that a transform fails on, is logged with its object and counted; another
    one takes its place.

    Args:
        records: the videos and pictures.
        transforms: applied to each clip, one after the other.
        gap: greatest distance of the second template from the search frame, exclusive on the far side.
        positive: probability of a clip whose search frame shows the object.
        least_length: shorter videos are left out, and objects seen in no more than twice a clip's frames.
    """

    def __init__(
        self,
        records: Sequence[VideoRecord],
        transforms: Sequence[Transform] = (),
        *,
        gap: int = 200,
        positive: float = 1.0,
        least_length: int = 20,
    ) -> None:
        self.records, self.transforms = list(records), list(transforms)
        self.gap, self.positive = gap, positive
        found = (track for number, record in enumerate(self.records) for track in object_tracks(number, record))
        self.tracks = [track for track in found if self._long_enough(track, least_length)]
        if not self.tracks:
            raise DataError(f"no object to train on in {len(self.records)} videos: none is seen long enough")
        self.failures: Counter[str] = Counter()

    def _long_enough(self, track: ObjectTrack, least: int) -> bool:
        length = record_length(self.records[track.record])
        return length == 1 or (length >= least and len(track.frames) > 6)

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, sample: Sample) -> Clip:
        number, seed = sample
        rng = np.random.default_rng(seed)
        return replacing_bad(lambda chosen: self._clip(chosen, rng), self._name, number, len(self), rng, self.failures)

    def _name(self, number: int) -> str:
        track = self.tracks[number]
        name = self.records[track.record].name
        return name if track.key is None else f"{name}, object {track.key}"

    def _clip(self, number: int, rng: np.random.Generator) -> Clip:
        clip = self.raw_clip(number, rng)
        return apply_all(self.transforms, clip, rng, lambda: clip)

    def raw_clip(self, number: int, rng: np.random.Generator) -> Clip:
        """The clip of an object, before the transforms.

        Raises:
            DataError: a frame cannot be read, or has no usable box of the object.
        """
        track = self.tracks[number]
        record = self.records[track.record]
        template, near, search = draw_trident(track.frames, self.gap, rng)
        frames = {index: read_frame(record, index) for index in dict.fromkeys((template, near, search))}
        key = _any_object(frames.values(), rng) if track.key is None else track.key
        templates = [only(frames[index], key, 0) for index in (template, near)]
        if rng.random() < self.positive:
            searched = only(frames[search], key, 0)
        else:
            searched = self._without(number, rng)
        return Clip([*templates, searched], key=2, video=record.name)

    def _without(self, number: int, rng: np.random.Generator) -> Frame:
        """A frame that does not show an object, with the box that is looked about."""
        track = self.tracks[number]
        record = self.records[track.record]
        hidden = np.setdiff1d(np.arange(record_length(record)), track.frames)
        if len(hidden):
            frame = read_frame(record, int(rng.choice(hidden)))
            return with_box(frame, central_box(frame), 1)
        if len(self.tracks) == 1:
            raise DataError(f"{record.name}: there is no other object for a negative clip")
        other = self.tracks[(number + 1 + int(rng.integers(len(self.tracks) - 1))) % len(self.tracks)]
        frame = read_frame(self.records[other.record], int(rng.choice(other.frames)))
        return only(frame, _any_object([frame], rng) if other.key is None else other.key, 1)


def object_tracks(number: int, record: VideoRecord) -> Iterator[ObjectTrack]:
    """The objects of a record that are not ignored, by id, or by row where there are no ids."""
    if not record.instances:
        if record.load is not None:
            yield ObjectTrack(number, None, np.arange(record_length(record)))
        return
    if isinstance(record.instances, SingleTruth):
        yield ObjectTrack(number, 0, record.instances.visible())
        return
    seen: defaultdict[int, list[int]] = defaultdict(list)
    for index, objects in record.instances.items():
        keys = range(len(objects)) if objects.ids is None else objects.ids.tolist()
        counted = [True] * len(objects) if objects.ignored is None else (~objects.ignored).tolist()
        for key, counts in zip(keys, counted):
            if counts:
                seen[key].append(index)
    for key, frames in seen.items():
        yield ObjectTrack(number, key, np.array(sorted(frames)))


def draw_trident(frames: np.ndarray, gap: int, rng: np.random.Generator) -> tuple[int, int, int]:
    """A template, a second template and a search frame among the sorted `frames` in which an object is seen.

    Raises:
        DataError: the object is never seen near the search frames that are drawn.
    """
    for _ in range(TRIES):
        template, search = (int(index) for index in rng.choice(frames, 2))
        first = search if template >= search else search - gap
        near = frames[np.searchsorted(frames, first) : np.searchsorted(frames, first + gap)]
        if len(near):
            return template, int(rng.choice(near)), search
    raise DataError(f"none of {TRIES} search frames has a frame with the object within {gap} frames")


def _any_object(frames: Iterable[Frame], rng: np.random.Generator) -> int:
    """The id of an object that counts in all of the frames."""
    common: set[int] | None = None
    for frame in frames:
        objects = frame.instances
        if objects is None or objects.ids is None:
            raise DataError(f"frame {frame.index} has no objects with ids")
        ids = objects.ids if objects.ignored is None else objects.ids[~objects.ignored]
        common = set(ids.tolist()) if common is None else common & set(ids.tolist())
    if not common:
        raise DataError("there is no object in all frames of the clip")
    return int(rng.choice(sorted(common)))


def only(frame: Frame, key: int, identity: int) -> Frame:
    """The frame with the object of id (without ids: row) `key` alone, whose id becomes `identity`.

    Raises:
        DataError: it is not there, or its box is not finite or has no area.
    """
    objects = frame.instances
    rows = torch.zeros(0, dtype=torch.int64)
    if objects is not None:
        keys = torch.arange(len(objects)) if objects.ids is None else objects.ids
        rows = (keys == key).nonzero()[:, 0]
    if objects is None or len(rows) != 1 or not bool(usable_boxes(objects.boxes[rows]).all()):
        raise DataError(f"frame {frame.index}: no usable box of object {key}")
    return with_box(frame, objects.boxes[rows], identity)


def with_box(frame: Frame, boxes: torch.Tensor, identity: int) -> Frame:
    """The frame with one object."""
    objects = Instances(boxes.float(), ids=torch.tensor([identity]))
    return Frame(frame.image, frame.index, frame.time, objects, name=frame.name)


def central_box(frame: Frame) -> torch.Tensor:
    """(1, 4) xyxy in whole pixels, an eighth of the picture's sides about its middle."""
    height, width = frame.size
    x, y = int(width / 2 * (1 - CENTRAL)), int(height / 2 * (1 - CENTRAL))
    return torch.tensor([[x, y, x + max(int(width * CENTRAL), 1), y + max(int(height * CENTRAL), 1)]])
