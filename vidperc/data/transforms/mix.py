"""Transforms that join several clips: mosaic, mixup, copy-paste."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ...structures import Clip, Frame, Instances
from .base import MoreClips, Transform, with_frames
from .geometry import GREY, Crop, Fill, crop_frame, flip_frame, mask_boxes, pad_frame, resize_frame, with_picture


def _more(more: MoreClips | None, name: str) -> Clip:
    if more is None:
        raise ValueError(f"{name} joins several clips: it needs `more`, a function that gives other clips")
    return more()


def _beside(clip: Clip, index: int) -> Frame:
    """The frame of another clip that goes with frame `index`, the last where that clip is shorter."""
    return clip[min(index, len(clip) - 1)]


def _within(frame: Frame, size: tuple[int, int]) -> Frame:
    """As large as fits in `size` (height, width)."""
    ratio = min(size[0] / frame.size[0], size[1] / frame.size[1])
    return resize_frame(frame, (max(int(frame.size[0] * ratio), 1), max(int(frame.size[1] * ratio), 1)))


def _join(parts: list[Frame], picture: np.ndarray) -> Frame:
    """The first frame with another picture and the objects of all parts, without a semantic map; identities stay apart.

    What is known of some of the objects only is dropped, but for `ignored`: who does not say so ignores none.
    """
    # Identities are set apart by part, not by how many ids a part has, so that they stay the same from frame to frame.
    known = [_apart(part.instances, number) for number, part in enumerate(parts) if part.instances is not None]
    known = [item for item in known if len(item)] or known[:1]
    if any(item.ignored is not None for item in known):
        known = [item if item.ignored is not None else _none_ignored(item) for item in known]
    joined = None
    if known:
        common = set.intersection(*({name for name, _ in item.set_fields()} for item in known))
        joined = Instances.cat([
            Instances(**{name: value for name, value in item.set_fields() if name in common}) for item in known
        ])  # fmt: skip
    return replace(with_picture(parts[0], picture), instances=joined, detections=None, semantic=None)


def _apart(instances: Instances, number: int) -> Instances:
    return instances if instances.ids is None else instances.replace(ids=instances.ids + number * 2**32)


def _none_ignored(instances: Instances) -> Instances:
    return instances.replace(ignored=torch.zeros(len(instances), dtype=torch.bool))


class Mosaic(Transform):
    """Four clips around a drawn centre on one canvas (YOLOv4, https://arxiv.org/abs/2004.10934).

    Args:
        size: (height, width) of each quarter; the canvas has twice that.
        centre: range of the centre, as a fraction of the canvas.
        probability: with which it is done.
        crop: `crop_frame`, after which boxes end at the canvas, or `crop_whole`, after which they do not.
    """

    def __init__(
        self,
        size: tuple[int, int],
        centre: tuple[float, float] = (0.25, 0.75),
        probability: float = 1.0,
        fill: Fill = GREY,
        crop: Crop = crop_frame,
    ) -> None:
        self.size, self.centre, self.probability, self.fill, self.crop = size, centre, probability, fill, crop

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        if rng.random() >= self.probability:
            return clip
        clips = [clip, *(_more(more, "Mosaic") for _ in range(3))]
        height, width = self.size
        cx = int(rng.uniform(*self.centre) * 2 * width)
        cy = int(rng.uniform(*self.centre) * 2 * height)
        return with_frames(
            clip, [self._frame([_beside(c, index) for c in clips], cx, cy) for index in range(len(clip))]
        )

    def _frame(self, frames: list[Frame], cx: int, cy: int) -> Frame:
        height, width = self.size
        canvas = (2 * height, 2 * width)
        parts = []
        for quarter, frame in enumerate(frames):
            frame = _within(frame, self.size)
            h, w = frame.size
            x = cx - w if quarter % 2 == 0 else cx  # left quarters end at the centre, right ones begin there
            y = cy - h if quarter < 2 else cy
            window = (max(-x, 0), max(-y, 0), min(w, canvas[1] - x), min(h, canvas[0] - y))
            if window != (0, 0, w, h):
                frame = self.crop(frame, window)
            parts.append(pad_frame(frame, (max(x, 0), max(y, 0)), canvas, self.fill))
        picture = parts[0].array
        for quarter, part in enumerate(parts):
            rows = slice(0, cy) if quarter < 2 else slice(cy, None)
            columns = slice(0, cx) if quarter % 2 == 0 else slice(cx, None)
            picture[rows, columns] = part.array[rows, columns]
        return _join(parts, picture)


class MixUp(Transform):
    """The mean of two clips (YOLOX, https://arxiv.org/abs/2107.08430).

    The second is fitted into a canvas of the first one's size; the canvas is scaled, mirrored half of the time and
    cut, or filled up, at a drawn place.

    Args:
        probability: with which it is done.
        share: of the second clip in the mean.
        factors: range of the canvas's scale.
        crop: as of `Mosaic`.
    """

    def __init__(
        self,
        probability: float = 1.0,
        share: float = 0.5,
        factors: tuple[float, float] = (0.5, 1.5),
        fill: Fill = GREY,
        crop: Crop = crop_frame,
    ) -> None:
        self.probability, self.share, self.factors, self.fill, self.crop = probability, share, factors, fill, crop

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        if rng.random() >= self.probability:
            return clip
        other = _more(more, "MixUp")
        factor, u, v, mirror = rng.uniform(*self.factors), rng.random(), rng.random(), rng.random() < 0.5
        return with_frames(
            clip, [self._frame(frame, _beside(other, i), factor, u, v, mirror) for i, frame in enumerate(clip.frames)]
        )

    def _frame(self, first: Frame, second: Frame, factor: float, u: float, v: float, mirror: bool) -> Frame:
        height, width = first.size
        second = pad_frame(_within(second, first.size), (0, 0), first.size, self.fill)
        second = resize_frame(second, (max(int(height * factor), 2), max(int(width * factor), 2)))
        second = flip_frame(second) if mirror else second
        h, w = second.size
        x, y = int(u * max(w - width, 1)), int(v * max(h - height, 1))
        second = self.crop(second, (x, y, min(x + width, w), min(y + height, h)))
        second = pad_frame(second, (0, 0), first.size, self.fill)
        mixed = first.array.astype(np.float32) * (1 - self.share) + second.array.astype(np.float32) * self.share
        return _join([first, second], np.rint(mixed).astype(first.array.dtype))


class CopyPaste(Transform):
    """Objects of another clip, cut out by their masks, onto this one (https://arxiv.org/abs/2012.07177).

    What they hide is taken from the masks below; an object of which less than `min_left` stays is dropped.
    The same identities are pasted in all frames.
    """

    def __init__(self, probability: float = 0.5, share: float = 0.5, min_left: float = 0.1) -> None:
        self.probability, self.share, self.min_left = probability, share, min_left

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        if rng.random() >= self.probability:
            return clip
        other = _more(more, "CopyPaste")
        seed = int(rng.integers(2**31))
        return with_frames(clip, [self._frame(frame, _beside(other, i), seed) for i, frame in enumerate(clip.frames)])

    def _frame(self, below: Frame, source: Frame, seed: int) -> Frame:
        if below.instances is None or source.instances is None or not len(source.instances):
            return below
        source = self._onto(source, below.size)
        if source.instances is None or source.instances.masks is None or below.instances.masks is None:
            raise ValueError(f"CopyPaste needs masks; frame {source.index} ({source.name}) or {below.name} has none")
        chosen = torch.from_numpy(self._chosen(source.instances, seed))
        if source.instances.ignored is not None:  # crowds and the like are no objects to paste
            chosen &= ~source.instances.ignored
        pasted = source.instances[chosen]
        if pasted.masks is None or not len(pasted):
            return below
        cover = pasted.masks.any(0)  # (H, W)
        picture = np.where(cover.numpy()[:, :, None], source.array, below.array)
        kept = self._under(below.instances, cover)
        return _join([replace(below, instances=kept), replace(source, instances=pasted)], np.ascontiguousarray(picture))

    def _chosen(self, instances: Instances, seed: int) -> np.ndarray:
        """Which objects are pasted: decided by identity where there is one, (N,) bool."""
        keys = range(len(instances)) if instances.ids is None else instances.ids.tolist()
        draws = [np.random.default_rng([seed, abs(int(key))]).random() for key in keys]
        return np.asarray(draws, dtype=float) < self.share

    @staticmethod
    def _onto(frame: Frame, size: tuple[int, int]) -> Frame:
        """Resized to fit and padded to `size`."""
        return pad_frame(_within(frame, size), (0, 0), size)

    def _under(self, instances: Instances, cover: torch.Tensor) -> Instances:
        """The objects below, less what is covered; changed boxes are the bounds of what is left."""
        if instances.masks is None or not len(instances):
            return instances
        left = instances.masks & ~cover
        before, after = instances.masks.flatten(1).sum(1), left.flatten(1).sum(1)
        changed = (after < before)[:, None]
        boxes = torch.where(changed, mask_boxes(left), instances.boxes)
        return instances.replace(masks=left, boxes=boxes)[after >= self.min_left * before.clamp_min(1)]
