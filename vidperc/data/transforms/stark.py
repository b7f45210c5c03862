"""Crops that STARK trains on (https://arxiv.org/abs/2103.17154, section 4.1)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...ops.padded_crop import PaddedCrop, padded_crops
from ...structures import Clip, Frame, Instances
from .base import MoreClips, Transform

GREY = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)


class StarkCrops(Transform):
    """Frames with one box each to crops with one box each; the last frame is the search frame.

    Templates are cut exactly about their box. The search region is one about a box of another place and size,
    as tracking would have it: the object is rarely in its middle.

    Args:
        template_size, search_size: sides of the crops.
        template_factor, search_factor: sides of the squares over the root of the box's area.
        shift: the search region's box is at most half of this off the object's centre in x and y, in roots of its area.
        scale: standard deviation of the logarithm by which its width and height are changed.
        grey: probability that all crops are without colour.
        brightness: each crop is darker or lighter by at most this share.
        flip: probability of each crop to be mirrored. (The published pipeline mirrors the whole clip before, which
            changes nothing where this is one half.)
        stride: of the network; a crop of which it would see nothing but padding is an error.
    """

    def __init__(
        self,
        template_size: int = 128,
        search_size: int = 320,
        *,
        template_factor: float = 2.0,
        search_factor: float = 5.0,
        shift: float = 4.5,
        scale: float = 0.5,
        grey: float = 0.05,
        brightness: float = 0.2,
        flip: float = 0.5,
        stride: int = 16,
    ) -> None:
        self.template_size, self.search_size = template_size, search_size
        self.template_factor, self.search_factor = template_factor, search_factor
        self.shift, self.scale = shift, scale
        self.grey, self.brightness, self.flip, self.stride = grey, brightness, flip, stride

    def __call__(self, clip: Clip, rng: np.random.Generator, more: MoreClips | None = None) -> Clip:
        grey = rng.random() < self.grey
        templates = [
            self._crop(frame, _as_center(frame), self.template_factor, self.template_size) for frame in clip.frames[:-1]
        ]
        search = self._crop(clip[-1], self._moved(_as_center(clip[-1]), rng), self.search_factor, self.search_size)
        crops = [self._recolour(crop, grey, rng) for crop in (*templates, search)]
        return Clip([mirrored(crop) if rng.random() < self.flip else crop for crop in crops], clip.key, clip.video)

    def _moved(self, box: Tensor, rng: np.random.Generator) -> Tensor:
        """The box (4,) center x, center y, width, height that the search region is cut about."""
        sizes = box[2:] * torch.from_numpy(np.exp(rng.standard_normal(2) * self.scale))
        reach = sizes.prod().sqrt() * self.shift
        return torch.cat([box[:2] + reach * torch.from_numpy(rng.random(2) - 0.5), sizes])

    def _crop(self, frame: Frame, about: Tensor, factor: float, size: int) -> PaddedCrop:
        """The crop about a box, with the frame's own one in it.

        Raises:
            ValueError: it lies outside of the picture as far as the network sees.
        """
        crops, padding, sides = padded_crops(frame.image, about[None].float(), factor, size)
        seen = F.interpolate(padding[:, None].float(), (size // self.stride,) * 2)
        if bool(seen.all()):
            raise ValueError(f"frame {frame.index}: the crop lies outside of the picture")
        own = _as_center(frame)
        scale = size / sides[0].double()
        # As published, the middle of the crop is that of its pixels' indices, half a pixel from that of tracking.
        center, half = (size - 1) / 2 + (own[:2] - about[:2]) * scale, own[2:] * scale / 2
        assert frame.instances is not None
        boxes = torch.cat([center - half, center + half])[None].float()
        objects = Instances(boxes, ids=frame.instances.ids)
        return PaddedCrop(crops[0], frame.index, frame.time, objects, name=frame.name, padding=padding[0])

    def _recolour(self, crop: PaddedCrop, grey: bool, rng: np.random.Generator) -> PaddedCrop:
        image = crop.image * float(rng.uniform(max(0.0, 1 - self.brightness), 1 + self.brightness))
        if grey:
            image = (image * image.new_tensor(GREY)[:, None, None]).sum(0, keepdim=True).expand(3, -1, -1)
        return PaddedCrop(
            image.clamp(0, 255), crop.index, crop.time, crop.instances, name=crop.name, padding=crop.padding
        )


def mirrored(crop: PaddedCrop) -> PaddedCrop:
    """Left and right changed."""
    assert crop.instances is not None and crop.padding is not None
    x1, y1, x2, y2 = crop.instances.boxes.unbind(1)
    width = crop.size[1]
    objects = crop.instances.replace(boxes=torch.stack([width - x2, y1, width - x1, y2], 1))
    return PaddedCrop(crop.image.flip(2), crop.index, crop.time, objects, name=crop.name, padding=crop.padding.flip(1))


def _as_center(frame: Frame) -> Tensor:
    """The frame's one box (4,) as center x, center y, width, height in float64.

    Raises:
        ValueError: it has not one box.
    """
    if frame.instances is None or len(frame.instances) != 1:
        count = None if frame.instances is None else len(frame.instances)
        raise ValueError(f"frame {frame.index} ({frame.name}): expected one box, got {count}")
    first, last = frame.instances.boxes[0].double().split(2)
    return torch.cat([(first + last) / 2, last - first])
