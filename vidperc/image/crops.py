"""Boxes of pictures as equally large, normalised crops, the input of a re-identification network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..ops.box_crops import resize_boxes, sample_boxes, whole_pixels
from ..structures import Frame
from .preprocess import Preprocessor, as_rgb_array
from .two_stage import scale_factors


@dataclass(slots=True)
class Picture:
    """A picture on the device, ready to be cut from."""

    pixels: Tensor  # (3, H, W)
    scale: Tensor  # (4,) from boxes of the frame to those of `pixels`


class Crops(Protocol):
    """How boxes become crops. All boxes of a picture are cut in one call."""

    def prepare(self, frames: Sequence[Frame], device: torch.device) -> list[Picture]:
        """The frames as pictures on the device."""
        ...

    def cut(self, picture: Picture, boxes: Tensor) -> Tensor:
        """Boxes (N, 4) in pixels of the frame, on the device, to (N, 3, h, w), normalised."""
        ...


@dataclass(frozen=True)
class PixelCrops:
    """Crops of the frame's own pixels, resized as OpenCV does it, then normalised.

    Args:
        size: (height, width) of a crop.
        mean, std: per channel, RGB.
    """

    size: tuple[int, int] = (256, 128)
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)

    def prepare(self, frames: Sequence[Frame], device: torch.device) -> list[Picture]:
        scale = torch.ones(4, device=device)
        return [Picture(_whole_numbers(frame).to(device), scale) for frame in frames]

    def cut(self, picture: Picture, boxes: Tensor) -> Tensor:
        height, width = picture.pixels.shape[-2:]
        crops = resize_boxes(picture.pixels, whole_pixels(boxes, width, height), self.size).float()
        mean = crops.new_tensor(self.mean)[:, None, None]
        return crops.sub_(mean).div_(crops.new_tensor(self.std)[:, None, None])


@dataclass(frozen=True)
class NetworkCrops:
    """Crops of the picture as a detector sees it: resized and normalised first, then cut and resized again.

    Args:
        preprocessor: the detector's.
        size: (height, width) of a crop.
    """

    preprocessor: Preprocessor
    size: tuple[int, int] = (256, 128)

    def prepare(self, frames: Sequence[Frame], device: torch.device) -> list[Picture]:
        images = self.preprocessor([frame.image for frame in frames], device)
        sizes, scales = images.sizes, scale_factors(images, device)
        return [Picture(image[:, :h, :w], scale) for image, (h, w), scale in zip(images.tensor, sizes, scales)]

    def cut(self, picture: Picture, boxes: Tensor) -> Tensor:
        height, width = picture.pixels.shape[-2:]
        return sample_boxes(picture.pixels, whole_pixels(boxes * picture.scale, width, height), self.size)


def _whole_numbers(frame: Frame) -> Tensor:
    """The frame's (3, H, W) uint8 pixels, where they are."""
    image = frame.image
    if image.dtype == torch.uint8 and image.ndim == 3 and image.shape[0] == 3:
        return image
    array = as_rgb_array(image, f"frame {frame.index}")
    return torch.from_numpy(array).round().clamp(0, 255).to(torch.uint8).permute(2, 0, 1)
