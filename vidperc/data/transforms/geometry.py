"""Resize, flip, crop and pad one frame: its picture, boxes, masks, semantic map and its given detections' boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ...structures import UNKNOWN_CLASS, Frame, Instances

Fill = tuple[float, float, float]
Window = tuple[int, int, int, int]  # x0 y0 x1 y1
Crop = Callable[[Frame, Window], Frame]  # what takes a window of a frame
GREY: Fill = (124, 116, 104)  # about the mean of natural images, RGB


def with_picture(frame: Frame, picture: np.ndarray) -> Frame:
    """The frame with another (H, W, 3) picture."""
    return replace(frame, image=torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1))


def change_frame(
    frame: Frame,
    picture: np.ndarray,
    boxes: Callable[[Tensor], Tensor],
    masks: Callable[[np.ndarray], np.ndarray],
    semantic: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Frame:
    """`masks` changes (N, H, W), and the semantic map as one of them unless `semantic`, of (H, W), is given."""

    def change(instances: Instances | None) -> Instances | None:
        if instances is None:
            return None
        out = instances.replace(boxes=boxes(instances.boxes))
        if instances.masks is not None:
            out.masks = torch.from_numpy(np.ascontiguousarray(masks(instances.masks.numpy())))
        return out

    changed = with_picture(frame, picture)
    if frame.semantic is not None:
        plane = frame.semantic.numpy()
        plane = masks(plane[None])[0] if semantic is None else semantic(plane)
        changed.semantic = torch.from_numpy(np.ascontiguousarray(plane))
    return replace(changed, instances=change(frame.instances), detections=change(frame.detections))


def resize_frame(frame: Frame, size: tuple[int, int]) -> Frame:
    """To `size` (height, width): pictures bilinear, masks to the value at each new pixel's centre, maps nearest."""
    height, width = frame.size
    if size == (height, width):
        return frame
    smaller = size[0] < height and size[1] < width
    picture = cv2.resize(frame.array, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    factor = torch.tensor([size[1] / width, size[0] / height] * 2)
    return change_frame(
        frame,
        picture,
        lambda boxes: boxes * factor,
        lambda masks: resize_masks(masks, size, smaller),
        lambda semantic: cv2.resize(semantic, (size[1], size[0]), interpolation=cv2.INTER_NEAREST),
    )


def resize_masks(masks: np.ndarray, size: tuple[int, int], smaller: bool) -> np.ndarray:
    """(N, H, W) bool to (N, *size): a pixel belongs to the object where more than half of it does."""
    mode = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    out = np.zeros((len(masks), *size), bool)
    for target, mask in zip(out, masks):
        target[:] = cv2.resize(mask.astype(np.uint8) * 255, (size[1], size[0]), interpolation=mode) > 127
    return out


def flip_frame(frame: Frame, horizontal: bool = True) -> Frame:
    """Mirrored left-right, or upside down."""
    height, width = frame.size
    picture = cv2.flip(frame.array, 1 if horizontal else 0)

    def boxes(xyxy: Tensor) -> Tensor:
        x0, y0, x1, y1 = xyxy.unbind(-1)
        if horizontal:
            return torch.stack([width - x1, y0, width - x0, y1], -1)
        return torch.stack([x0, height - y1, x1, height - y0], -1)

    return change_frame(frame, picture, boxes, lambda masks: masks[:, :, ::-1] if horizontal else masks[:, ::-1])


def crop_frame(frame: Frame, window: Window, min_side: float = 1.0) -> Frame:
    """The window (x0, y0, x1, y1), which must lie inside the picture.

    Boxes are clipped; a box that was the bounds of its mask is so again. Objects of which a side of
    less than `min_side` pixels is left, or nothing of the mask, are dropped.
    """
    x0, y0, x1, y1 = window
    height, width = frame.size
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"crop {window} does not lie inside a picture of {width}x{height}")
    shift = torch.tensor([x0, y0, x0, y0], dtype=torch.float32)
    limits = torch.tensor([x1 - x0, y1 - y0] * 2, dtype=torch.float32)
    tight = tight_boxes(frame.instances)
    out = change_frame(
        frame,
        frame.array[y0:y1, x0:x1],
        lambda boxes: (boxes - shift).clamp_min(0).minimum(limits),
        lambda masks: masks[:, y0:y1, x0:x1],
    )
    out.instances = _after_crop(out.instances, tight, min_side)
    out.detections = _after_crop(out.detections, None, min_side)
    return out


def crop_whole(frame: Frame, window: Window, min_side: float = 1.0) -> Frame:
    """As `crop_frame`, but boxes stay as large as they are: those of whole objects, as MOTChallenge has them."""
    x0, y0, x1, y1 = window
    shift = torch.tensor([x0, y0, x0, y0], dtype=torch.float32)
    shown = replace(
        frame,
        instances=_shown(frame.instances, window, min_side),
        detections=_shown(frame.detections, window, min_side),
    )
    return change_frame(
        shown, frame.array[y0:y1, x0:x1], lambda boxes: boxes - shift, lambda masks: masks[:, y0:y1, x0:x1]
    )


def _shown(instances: Instances | None, window: Window, min_side: float) -> Instances | None:
    """The objects whose boxes have sides of at least `min_side` pixels in the window."""
    if instances is None:
        return None
    inside = instances.boxes.new_tensor(window)
    low, high = torch.maximum(instances.boxes[:, :2], inside[:2]), torch.minimum(instances.boxes[:, 2:], inside[2:])
    return instances[(high - low >= min_side).all(1)]


def tight_boxes(instances: Instances | None) -> Tensor | None:
    """Which boxes are the bounds of their masks, to 1.5 pixels; (N,) bool."""
    if instances is None or instances.masks is None or not len(instances):
        return None
    return (mask_boxes(instances.masks) - instances.boxes).abs().amax(1) <= 1.5


def _after_crop(instances: Instances | None, tight: Tensor | None, min_side: float) -> Instances | None:
    if instances is None or not len(instances):
        return instances
    keep = (instances.boxes[:, 2:] - instances.boxes[:, :2]).amin(1) >= min_side
    masks = instances.masks
    if masks is not None and tight is not None:
        instances = instances.replace(boxes=torch.where(tight[:, None], mask_boxes(masks), instances.boxes))
        keep &= (instances.boxes[:, 2:] - instances.boxes[:, :2]).amin(1) >= min_side
        keep &= masks.flatten(1).any(1) | ~tight
    return instances[keep]


def mask_boxes(masks: Tensor) -> Tensor:
    """(N, H, W) bool to the bounds (N, 4) xyxy, whole pixels; zeros for an empty mask."""
    rows, columns = masks.any(2), masks.any(1)  # (N, H), (N, W)
    y0, x0 = rows.int().argmax(1), columns.int().argmax(1)
    y1 = rows.shape[1] - rows.flip(1).int().argmax(1)
    x1 = columns.shape[1] - columns.flip(1).int().argmax(1)
    return torch.stack([x0, y0, x1, y1], 1).float() * rows.any(1)[:, None]


def pad_frame(frame: Frame, offset: tuple[int, int], size: tuple[int, int], fill: Fill = GREY) -> Frame:
    """On a canvas of `size` (height, width) with its upper left corner at `offset` (x, y)."""
    x, y = offset
    height, width = frame.size
    if x < 0 or y < 0 or x + width > size[1] or y + height > size[0]:
        raise ValueError(f"a picture of {width}x{height} at {offset} is not inside a canvas of {size[1]}x{size[0]}")
    picture = np.empty((*size, 3), frame.array.dtype)
    picture[:] = np.asarray(fill, dtype=picture.dtype)
    picture[y : y + height, x : x + width] = frame.array
    shift = torch.tensor([x, y, x, y], dtype=torch.float32)

    around = ((y, size[0] - y - height), (x, size[1] - x - width))
    return change_frame(
        frame,
        picture,
        lambda boxes: boxes + shift,
        lambda masks: np.pad(masks, ((0, 0), *around)),
        lambda semantic: np.pad(semantic, around, constant_values=UNKNOWN_CLASS),
    )
