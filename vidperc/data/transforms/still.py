"""Videos made of still images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch

from ...structures import Clip, Frame
from .base import MoreClips, Transform, with_frames
from .geometry import GREY, Fill, mask_boxes, with_picture


class PseudoVideo(Transform):
    """A clip that shows one picture again and again gets a camera that moves; other clips stay as they are.

    Each frame is turned, scaled and shifted by draws of its own, as SeqFormer trains on COCO beside videos
    (https://arxiv.org/abs/2112.08275, section 4.2). Boxes become the bounds of the masks, and objects that leave the
    picture are not in that frame.

    Args:
        rotation: largest angle in degrees, to either side.
        scale: smallest and largest factor.
        shift: largest way, in parts of the sides.
    """

    def __init__(
        self,
        rotation: float = 20.0,
        scale: tuple[float, float] = (0.9, 1.2),
        shift: float = 0.1,
        fill: Fill = GREY,
    ) -> None:
        self.rotation, self.scale, self.shift, self.fill = rotation, scale, shift, fill

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        if len({frame.index for frame in clip.frames}) > 1:
            return clip
        return with_frames(
            clip, [self._moved(frame, rng, f"{clip.video}, frame {frame.index}") for frame in clip.frames]
        )

    def _moved(self, frame: Frame, rng: np.random.Generator, where: str) -> Frame:
        height, width = frame.size
        angle, factor = rng.uniform(-self.rotation, self.rotation), rng.uniform(*self.scale)
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, factor)
        way = rng.uniform(-self.shift, self.shift, (2, 1)) * [[width], [height]]
        matrix = np.hstack((turn[:, :2], turn[:, 2:] + way))
        moved = replace(with_picture(frame, _warp(frame.array, matrix, self.fill)), semantic=None)
        objects = frame.instances
        if objects is not None:
            if objects.masks is None:
                raise ValueError(f"{where}: a pseudo-video is made of objects with masks")
            masks = [_warp(mask.astype(np.uint8) * 255, matrix) > 127 for mask in objects.masks.numpy()]
            stacked = torch.from_numpy(np.stack(masks)) if masks else objects.masks
            objects = objects.replace(masks=stacked, boxes=mask_boxes(stacked))
            moved.instances = objects[stacked.flatten(1).any(1)]
        return moved


def _warp(picture: np.ndarray, matrix: np.ndarray, fill: Sequence[float] = (0.0,)) -> np.ndarray:
    size = (picture.shape[1], picture.shape[0])
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=tuple(fill))
