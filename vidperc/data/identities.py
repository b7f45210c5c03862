"""Crops of objects by their identity: what a re-identification network learns from and is scored on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..structures import Clip, Frame, Instances, VideoRecord
from .datasets import Clips, Sample, read_frame, record_length, replacing_bad
from .problems import DataError
from .transforms.base import MoreClips, Transform, apply_all, with_frames

MARGIN = 0.1  # of a box's size that is cut out with it, so that transforms can move it


@dataclass(frozen=True)
class Identity:
    """One object throughout a video, and where it is seen well: frames (S,) and its boxes there (S, 4) xyxy."""

    record: VideoRecord
    key: int  # its id in the video
    frames: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def find_identities(
    records: Sequence[VideoRecord],
    *,
    min_visibility: float = 0.3,
    min_size: float = 1.0,
    min_sightings: int = 8,
    max_sightings: int = 1000,
    stride: int = 1,
) -> list[Identity]:
    """The objects of videos with ids, in the order of videos and ids.

    The defaults are those of MMTracking's crops of MOTChallenge. Ignored objects do not count.

    Args:
        records: annotated videos; those whose truth only comes with their frames are read through once.
        min_visibility: least share of an object that is seen, where the truth says so.
        min_size: least width and height in pixels.
        min_sightings: objects seen less often are left out.
        max_sightings: of each object, spread over its life.
        stride: only every so many frames are looked at.

    Raises:
        DataError: objects without ids, or no identity at all.
    """
    found = [
        identity
        for record in records
        for identity in _of_video(record, min_visibility, min_size, min_sightings, max_sightings, stride)
    ]
    if not found:
        names = ", ".join(record.name for record in records[:4]) or "no videos"
        raise DataError(f"no object is seen {min_sightings} times with visibility {min_visibility} in {names}")
    return found


def split_identities(
    identities: Sequence[Identity], share: float = 0.8, seed: int = 0
) -> tuple[list[Identity], list[Identity]]:
    """A share of the identities to learn from and the rest to score on; none is in both."""
    order = np.random.default_rng(seed).permutation(len(identities))
    first = set(order[: round(share * len(identities))].tolist())
    train = [identity for k, identity in enumerate(identities) if k in first]
    return train, [identity for k, identity in enumerate(identities) if k not in first]


class IdentityClips(Clips):
    """Clips of P x K crops: K of each of P identities, as batch-hard mining wants them.

    An item is asked for as (number, seed), like those of `ClipDataset`; there are as many numbers as crops, and a
    clip has the identity of its number among its P; a picture that cannot be read is logged, counted and
    replaced by another of the same object. A frame of a clip is the crop with a margin; its one object has
    the identity's place in `identities` as id.

    Args:
        identities: to learn; at least P of them.
        people: P.
        views: K; an identity that is seen less often repeats its crops.
        transforms: of every crop on its own.
    """

    def __init__(
        self, identities: Sequence[Identity], people: int = 8, views: int = 4, transforms: Sequence[Transform] = ()
    ) -> None:
        if len(identities) < people:
            raise DataError(f"clips of {people} identities need as many, there are {len(identities)}")
        self.identities, self.people, self.views = list(identities), people, views
        self.transforms = list(transforms)
        self.failures: Counter[str] = Counter()
        self.ends = np.cumsum([len(identity) for identity in identities])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, sample: Sample) -> Clip:
        number, seed = sample
        rng = np.random.default_rng(seed)
        return replacing_bad(lambda chosen: self._clip(chosen, rng), self._name, number, len(self), rng, self.failures)

    def _name(self, number: int) -> str:
        identity = self.identities[int(np.searchsorted(self.ends, number, side="right"))]
        return f"{identity.record.name}, object {identity.key}"

    def _clip(self, number: int, rng: np.random.Generator) -> Clip:
        own = int(np.searchsorted(self.ends, number, side="right"))
        others = rng.permutation(len(self.identities) - 1)[: self.people - 1]
        members = [own, *(others + (others >= own)).tolist()]
        frames = [self._readable(label, view, rng) for label in members for view in self._views(label, rng)]
        return Clip(frames=frames, video=self.identities[own].record.name)

    def _views(self, label: int, rng: np.random.Generator) -> list[int]:
        count = len(self.identities[label])
        return rng.choice(count, self.views, replace=count < self.views).tolist()

    def _readable(self, label: int, view: int, rng: np.random.Generator) -> Frame:
        """A crop; where its picture cannot be read, another one of the same object."""
        identity = self.identities[label]

        def name(chosen: int) -> str:
            return f"{identity.record.name}, frame {identity.frames[chosen]}"

        return replacing_bad(
            lambda chosen: self._crop(label, chosen, rng), name, view, len(identity), rng, self.failures
        )

    def _crop(self, label: int, view: int, rng: np.random.Generator) -> Frame:
        identity = self.identities[label]
        frame = read_frame(identity.record, int(identity.frames[view]))
        crop = cut_out(frame, identity.boxes[view], label)
        return apply_all(self.transforms, Clip([crop]), rng, lambda: Clip([crop])).frames[0]


def cut_out(frame: Frame, box: np.ndarray, label: int = 0, margin: float = MARGIN) -> Frame:
    """The part of a frame around a box, with the box as its one object of id `label`."""
    height, width = frame.size
    room = margin * (box[2:] - box[:2])
    x1, y1 = np.clip(np.floor(box[:2] - room), 0, (width - 1, height - 1)).astype(int).tolist()
    x2, y2 = np.clip(np.ceil(box[2:] + room), (x1 + 1, y1 + 1), (width, height)).astype(int).tolist()
    image = frame.image[:, y1:y2, x1:x2].permute(1, 2, 0).contiguous().permute(2, 0, 1)  # a copy: the frame can go
    moved = torch.from_numpy(box - np.array([x1, y1, x1, y1])).float()[None]
    objects = Instances(boxes=moved, labels=torch.zeros(1, dtype=torch.int64), ids=torch.tensor([label]))
    return Frame(image, frame.index, frame.time, objects, name=frame.name)


def _of_video(
    record: VideoRecord, min_visibility: float, min_size: float, least: int, most: int, stride: int
) -> Iterator[Identity]:
    frames, keys, boxes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros((0, 4))]
    for index in range(0, record_length(record), stride):
        objects = _truth(record, index)
        if objects is None or not len(objects):
            continue
        if objects.ids is None:
            raise DataError(f"{record.name}, frame {index}: objects without ids have no identity")
        seen = _seen_well(objects, min_visibility, min_size)
        keys.append(objects.ids.numpy()[seen])
        boxes.append(objects.boxes.double().numpy()[seen])
        frames.append(np.full(len(keys[-1]), index))
    all_frames, all_keys, all_boxes = np.concatenate(frames), np.concatenate(keys), np.concatenate(boxes)
    for key in np.unique(all_keys).tolist():
        rows = (all_keys == key).nonzero()[0]
        if len(rows) >= least:
            rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
            yield Identity(record, key, all_frames[rows], all_boxes[rows])


def _truth(record: VideoRecord, index: int) -> Instances | None:
    if record.instances or record.load is None:
        return record.instances.get(index)
    return read_frame(record, index).instances


def _seen_well(objects: Instances, min_visibility: float, min_size: float) -> np.ndarray:
    size = objects.boxes[:, 2:] - objects.boxes[:, :2]
    seen = torch.isfinite(objects.boxes).all(1) & (size >= min_size).all(1)
    if objects.ignored is not None:
        seen &= ~objects.ignored
    if objects.visibilities is not None:
        seen &= objects.visibilities >= min_visibility
    return seen.numpy()


class MoveBoxes(Transform):
    """Boxes moved and scaled a little, each on its own, as a detector would have found them.

    Args:
        amount: greatest shift of a corner, of the box's width or height.
    """

    def __init__(self, amount: float = 0.08) -> None:
        self.amount = amount

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        return with_frames(clip, [self._moved(frame, rng) for frame in clip.frames])

    def _moved(self, frame: Frame, rng: np.random.Generator) -> Frame:
        objects = frame.instances
        if objects is None:
            return frame
        size = (objects.boxes[:, 2:] - objects.boxes[:, :2]).repeat(1, 2)
        shift = torch.from_numpy(rng.uniform(-self.amount, self.amount, (len(objects), 4))).float()
        return replace(frame, instances=objects.replace(boxes=objects.boxes + shift * size))


def records_of(identities: Sequence[Identity]) -> list[VideoRecord]:
    """The videos of some identities, annotated with these alone."""
    by_name: dict[str, list[Identity]] = {}
    for identity in identities:
        by_name.setdefault(identity.record.name, []).append(identity)
    return [
        replace(own[0].record, instances=_instances(own), detections={}, attributes={**own[0].record.attributes})
        for own in by_name.values()
    ]


def _instances(identities: Sequence[Identity]) -> dict[int, Instances]:
    frames = np.concatenate([identity.frames for identity in identities])
    boxes = torch.from_numpy(np.concatenate([identity.boxes for identity in identities])).float()
    keys = torch.tensor([identity.key for identity in identities for _ in identity.frames])
    labels = torch.zeros(len(keys), dtype=torch.int64)
    by_frame = {index: torch.from_numpy((frames == index).nonzero()[0]) for index in np.unique(frames).tolist()}
    return {
        index: Instances(boxes=boxes[rows], ids=keys[rows], labels=labels[rows]) for index, rows in by_frame.items()
    }
