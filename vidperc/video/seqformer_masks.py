"""Masks by conditional convolutions (https://arxiv.org/abs/2003.05664), one small network per instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import box_convert

from ..structures import Instances

STRIDE = 8  # of the mask features; logits leave at half of it


class MaskBranch(nn.Module):
    """The three finest levels of the encoder, added up from coarse to fine, to the mask features.

    `dcn` was a deformable convolution once; the published checkpoints have a plain one of that name.
    """

    def __init__(self, channels: int = 256, out: int = 8) -> None:
        super().__init__()
        self.lay1 = nn.Conv2d(channels, channels // 4, 3, padding=1)
        self.lay2 = nn.Conv2d(channels // 4, out, 3, padding=1)
        self.lay3 = nn.Conv2d(channels, channels, 3, padding=1)
        self.lay4 = nn.Conv2d(channels, channels, 3, padding=1)
        self.dcn = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Maps (B, C, H, W) of strides 8, 16, 32 to (B, 8, H / 8, W / 8)."""
        fine, middle, coarse = levels
        x = self.lay3(coarse).relu_()
        x = self.lay4(middle + interpolate(x, size=middle.shape[-2:], mode="nearest")).relu_()
        x = self.dcn(fine + interpolate(x, size=fine.shape[-2:], mode="nearest")).relu_()
        return self.lay2(self.lay1(x).relu_()).relu_()


def parameters_per_mask(features: int = 8, width: int = 8) -> int:
    """How many numbers make one instance's three 1x1 convolutions: 169 as published."""
    return (features + 2) * width + width * width + width + 2 * width + 1


def dynamic_masks(parameters: Tensor, features: Tensor, centres: Tensor, size: tuple[int, int]) -> Tensor:
    """Mask logits of N instances in T frames at stride 4.

    Args:
        parameters: (N, 169) of each instance's network: the weights of its three layers, then the biases.
        features: (T, 8, H, W) mask features at stride 8.
        centres: (T, N, 2) origins of the relative coordinates, from 0 to 1 over `size`.
        size: (height, width) of the unpadded frames in pixels.

    Returns:
        (N, T, 2 * H, 2 * W)
    """
    with torch.autocast(features.device.type, enabled=False):  # coordinates need all digits
        logits = _per_instance_layers(parameters.float(), features.float(), centres.float(), size)
    return upsample_twice(logits)


def _per_instance_layers(parameters: Tensor, features: Tensor, centres: Tensor, size: tuple[int, int]) -> Tensor:
    """The three layers of each instance, (N, T, H, W)."""
    frames, channels, height, width = features.shape
    count = len(parameters)
    inner = channels  # the published heads are as wide as their input
    split = [(channels + 2) * inner, inner * inner, inner, inner, inner, 1]
    w1, w2, w3, b1, b2, b3 = parameters.split(split, dim=1)
    origin = centres.transpose(0, 1) * centres.new_tensor([size[1], size[0]])  # (N, T, 2)
    w1 = w1.view(count, inner, channels + 2)
    # The first layer on [origin - location, features]: its parts are affine in the origin, in x, in y and
    # in the features, so the coordinates are never laid out for every instance and frame.
    x = torch.arange(width, device=features.device) * STRIDE + STRIDE // 2
    y = torch.arange(height, device=features.device) * STRIDE + STRIDE // 2
    wx, wy = w1[:, :, 0], w1[:, :, 1]
    at_origin = wx[:, None] * origin[..., :1] + wy[:, None] * origin[..., 1:] + b1[:, None]  # (N, T, 8)
    slope = wx[:, :, None, None] * x + (wy[:, :, None] * y)[..., None]  # (N, 8, H, W)
    from_features = torch.matmul(w1[:, None, :, 2:], features.flatten(2)[None])  # (N, T, 8, H * W)
    hidden = (from_features + (at_origin[..., None] - slope.flatten(2)[:, None])).relu_()
    hidden = (torch.matmul(w2.view(count, 1, inner, inner), hidden) + b2[:, None, :, None]).relu_()
    logits = torch.matmul(w3[:, None, None], hidden) + b3[:, None, :, None]  # (N, T, 1, H * W)
    return logits.view(count, frames, height, width)


def upsample_twice(x: Tensor) -> Tensor:
    """(..., H, W) to (..., 2 H, 2 W), CondInst's aligned bilinear way: odd rows are the rows themselves."""
    before = torch.cat((x[..., :1, :], x[..., :-1, :]), dim=-2)
    x = torch.stack(((before + x) / 2, x), dim=-2).flatten(-3, -2)
    before = torch.cat((x[..., :1], x[..., :-1]), dim=-1)
    return torch.stack(((before + x) / 2, x), dim=-1).flatten(-2)


def masks_at(logits: Tensor, size: tuple[int, int], original: tuple[int, int]) -> Tensor:
    """Bool masks (N, *original) from logits (N, h, w) at stride 4 of the padded frame.

    Bilinear to the frame's pixels, cut to its unpadded `size`, nearest to the `original` size, above 0.5.
    A NaN (a frame in which a track was not observed) is no mask.
    """
    if len(logits) == 0:
        return torch.zeros(0, *original, dtype=torch.bool, device=logits.device)
    full = interpolate(logits[:, None].float(), scale_factor=4, mode="bilinear", align_corners=False)
    masks = full[..., : size[0], : size[1]] > 0
    if original != size:
        masks = interpolate(masks.to(torch.uint8), size=original, mode="nearest").bool()
    return masks[:, 0]


@dataclass(frozen=True, slots=True)
class Rows:
    """The results of a video, before it is known in which frames they are seen."""

    objects: Tensor  # (R,) number of the object in the video
    labels: Tensor  # (R,)
    scores: Tensor  # (R,)
    ids: Tensor  # (R,) the same for one result throughout the video


class ChooseRows(Protocol):
    """From the class scores (N, C) of N objects with `numbers` (N,), those above a threshold."""

    def __call__(self, scores: Tensor, threshold: float, numbers: Tensor) -> Rows: ...


def every_class(scores: Tensor, threshold: float, numbers: Tensor) -> Rows:
    """A result for every class of an object that is scored high enough, as the published evaluation has it."""
    row, labels = (scores > threshold).nonzero(as_tuple=True)
    return Rows(numbers[row], labels, scores[row, labels], numbers[row] * scores.shape[1] + labels)


def best_class(scores: Tensor, threshold: float, numbers: Tensor) -> Rows:
    """One result for an object, of its best class; the ids are the objects' numbers."""
    best, labels = scores.max(1)
    row = (best > threshold).nonzero().flatten()
    return Rows(numbers[row], labels[row], best[row], numbers[row])


def frame_objects(rows: Rows, numbers: Tensor, masks: Tensor, boxes: Tensor) -> Instances:
    """The rows whose object is seen in a frame.

    Args:
        numbers: (M,) of the objects that the frame may show.
        masks: (M, H, W) bool, theirs.
        boxes: (M, 4) theirs, cx cy w h from 0 to 1.
    """
    shown = masks.flatten(1).any(1)
    row, place = ((rows.objects[:, None] == numbers) & shown).nonzero(as_tuple=True)
    height, width = masks.shape[-2:]
    pixels = box_convert(boxes, "cxcywh", "xyxy").clamp(0, 1) * boxes.new_tensor([width, height, width, height])
    return Instances(
        boxes=pixels[place], labels=rows.labels[row], scores=rows.scores[row], masks=masks[place], ids=rows.ids[row]
    )
