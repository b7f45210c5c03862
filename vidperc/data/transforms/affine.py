"""Random affine change: rotated, scaled, sheared and shifted (YOLOX's, after a mosaic)."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from ...structures import UNKNOWN_CLASS, Clip, Frame, Instances
from .base import FrameTransform
from .geometry import GREY, Crop, Fill, change_frame, crop_frame, mask_boxes, tight_boxes


class Warp(NamedTuple):
    """Where points go: (x, y, 1) times the matrix. `scale` is of lengths, before the shear."""

    matrix: np.ndarray  # (3, 3)
    scale: float
    size: tuple[int, int]  # (height, width) of the outcome


class RandomAffine(FrameTransform):
    """Scaled, rotated and sheared about the picture's first corner, then shifted; objects that hardly stay are dropped.

    A box becomes the bounds of where its corners go; one that bounded its mask does so again.

    Args:
        rotation, shear: largest angles, in degrees either way.
        translation: largest shift, in parts of the outcome's sides.
        scale: range of the factor.
        border: (height, width) added on every side; minus half the size of a mosaic's quarter leaves that size.
        min_side: of boxes that stay, in pixels, exclusive.
        min_area: of boxes that stay, in parts of what they would have inside of the picture, exclusive.
        max_aspect: longer by shorter side of boxes that stay, exclusive.
        crop: `crop_frame`, after which boxes end at the picture, or `crop_whole`, after which they do not.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.5, 1.5),
        *,
        rotation: float = 10.0,
        translation: float = 0.1,
        shear: float = 2.0,
        border: tuple[int, int] = (0, 0),
        min_side: float = 2.0,
        min_area: float = 0.2,
        max_aspect: float = 20.0,
        fill: Fill = GREY,
        crop: Crop = crop_frame,
    ) -> None:
        self.scale, self.rotation, self.translation, self.shear = scale, rotation, translation, shear
        self.border, self.fill, self.crop = border, fill, crop
        self.min_side, self.min_area, self.max_aspect = min_side, min_area, max_aspect

    def draw(self, clip: Clip, rng: np.random.Generator) -> Warp:
        height, width = (side + 2 * more for side, more in zip(clip[clip.key].size, self.border))
        if min(height, width) < 1:
            raise ValueError(f"RandomAffine: nothing is left of {clip[clip.key].size} within the border {self.border}")
        angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation))
        scale = float(rng.uniform(*self.scale))
        along_x, along_y = np.tan(np.deg2rad(rng.uniform(-self.shear, self.shear, 2)))
        shift = rng.uniform(-self.translation, self.translation, 2) * (width, height)
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.eye(3)
        matrix[:2, :2] = np.array([[1, along_x], [along_y, 1]]) @ np.array([[cos, -sin], [sin, cos]]) * scale
        matrix[:2, 2] = shift
        return Warp(matrix, scale, (height, width))

    def apply(self, frame: Frame, parameters: Warp) -> Frame:
        given, (height, width) = frame.instances, parameters.size
        out = warp_frame(frame, parameters, self.fill)
        if given is not None and out.instances is not None and len(given):
            keep = self.stays(given.boxes * parameters.scale, within(out.instances.boxes, parameters))
            out = replace(out, instances=bound_masks(out.instances, tight_boxes(given))[keep])
        return self.crop(out, (0, 0, width, height))

    def stays(self, whole: Tensor, left: Tensor) -> Tensor:
        """Which objects stay, by their boxes (N, 4) without a border and within the picture; (N,) bool."""
        before, after = whole[:, 2:] - whole[:, :2], left[:, 2:] - left[:, :2]
        return (
            (after > self.min_side).all(1)
            & (after.prod(1) > self.min_area * before.prod(1))
            & (after.amax(1) < self.max_aspect * after.amin(1))
        )


def warp_frame(frame: Frame, warp: Warp, fill: Fill) -> Frame:
    """The frame with its points moved; no box is clipped or dropped."""
    # Boxes count from the corner of the first pixel, OpenCV from its middle.
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    pixels = (np.linalg.inv(half) @ warp.matrix @ half)[:2]
    size = (warp.size[1], warp.size[0])

    def masks(given: np.ndarray) -> np.ndarray:
        out = np.zeros((len(given), *warp.size), bool)
        for target, mask in zip(out, given):
            target[:] = cv2.warpAffine(mask.astype(np.uint8) * 255, pixels, size) > 127
        return out

    def semantic(given: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(given, pixels, size, flags=cv2.INTER_NEAREST, borderValue=UNKNOWN_CLASS)

    picture = cv2.warpAffine(frame.array, pixels, size, borderValue=fill)
    return change_frame(frame, picture, lambda boxes: warp_boxes(boxes, warp), masks, semantic)


def warp_boxes(boxes: Tensor, warp: Warp) -> Tensor:
    """The bounds (N, 4) of where the corners of boxes (N, 4) go."""
    matrix = torch.from_numpy(warp.matrix).to(boxes)
    corners = torch.stack([boxes[:, [0, 1]], boxes[:, [2, 1]], boxes[:, [2, 3]], boxes[:, [0, 3]]], dim=1)  # (N, 4, 2)
    moved = corners @ matrix[:2, :2].T + matrix[:2, 2]
    return torch.cat((moved.amin(1), moved.amax(1)), dim=1)


def within(boxes: Tensor, warp: Warp) -> Tensor:
    """Boxes (N, 4), clipped to the outcome."""
    return boxes.clamp(min=0).minimum(boxes.new_tensor([warp.size[1], warp.size[0]] * 2))


def bound_masks(instances: Instances, tight: Tensor | None) -> Instances:
    """The objects with boxes that are the bounds of their masks, where they are `tight` (N,); empty masks are left."""
    if tight is None or instances.masks is None:
        return instances
    bounded = tight & instances.masks.flatten(1).any(1)
    return instances.replace(boxes=torch.where(bounded[:, None], mask_boxes(instances.masks), instances.boxes))
