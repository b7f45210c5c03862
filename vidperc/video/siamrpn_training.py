"""Training of SiamRPN++: pairs as crops, which anchors learn, losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..structures import Clip, Frame
from .siamrpn_anchors import encode, to_centers, to_corners

IGNORED, BACKGROUND, OBJECT = -1, 0, 1


@dataclass(slots=True)
class TrainingBatch:
    """B pairs of crops."""

    templates: Tensor  # (B, 3, h, w) BGR, 0 to 255
    searches: Tensor  # (B, 3, H, W)
    boxes: Tensor  # (B, 4) center x, center y, width, height about the search crop's centre
    positive: Tensor  # (B,) bool, the template's object is the one in the box


def training_batch(
    clips: list[Clip],
    sizes: tuple[int, int],
    context_sides: Callable[[Tensor], Tensor],
    crop: Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor],
    device: torch.device,
) -> TrainingBatch:
    """Pairs of a template and a search frame as one batch.

    Where the template is a crop already, so is the search frame, of any side; else both are cropped to `sizes`.

    Raises:
        ValueError: a clip that has not two frames, a frame that has not one box, search crops of different sizes.
    """
    pairs = [_crops(clip, sizes, context_sides, crop, device) for clip in clips]
    (templates, _), (searches, boxes) = (zip(*column) for column in zip(*pairs))
    side = searches[0].shape[-1]
    for clip, search in zip(clips, searches):
        if search.shape[1:] != (side, side):
            got = "{1}x{0}".format(*search.shape[1:])
            raise ValueError(f"clip of '{clip.video}': expected a search crop of {side}x{side} pixels, got {got}")
    center = boxes[0].new_tensor([side / 2, side / 2, 0, 0])
    positive = torch.tensor([_same_object(clip) for clip in clips], device=device)
    return TrainingBatch(
        torch.stack(templates).contiguous(memory_format=torch.channels_last),
        torch.stack(searches).contiguous(memory_format=torch.channels_last),
        to_centers(torch.stack(boxes)) - center,
        positive,
    )


def _crops(
    clip: Clip,
    sizes: tuple[int, int],
    context_sides: Callable[[Tensor], Tensor],
    crop: Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor],
    device: torch.device,
) -> list[tuple[Tensor, Tensor]]:
    """The template's and the search crop in BGR, each with its box (4,) xyxy in pixels of the crop."""
    if len(clip) != 2:
        raise ValueError(f"clip of '{clip.video}': expected a template and a search frame, got {len(clip)} frames")
    boxes = [_only_box(frame, device) for frame in clip.frames]  # (1, 4) each
    images = [frame.image.to(device) for frame in clip.frames]
    if clip[0].size == (sizes[0], sizes[0]):
        return [(image.float().flip(0), box[0]) for image, box in zip(images, boxes)]
    out = []
    for image, box, size in zip(images, boxes, sizes):
        centers = to_centers(box)
        sides = (context_sides(centers[:, 2:]) * (size / sizes[0])).round()
        colour = image.float().mean((1, 2))[None]
        moved = (box.reshape(2, 2) - centers[:, :2]) * (size / sides[0]) + size / 2
        out.append((crop(image, centers[:, :2], sides, colour, size)[0], moved.reshape(4)))
    return out


def _only_box(frame: Frame, device: torch.device) -> Tensor:
    """(1, 4) xyxy."""
    if frame.instances is None or len(frame.instances) != 1:
        count = None if frame.instances is None else len(frame.instances)
        raise ValueError(f"frame {frame.index} ({frame.name}): expected one box to train on, got {count}")
    return frame.instances.boxes.to(device).float()


def _same_object(clip: Clip) -> bool:
    ids = [frame.instances.ids for frame in clip.frames if frame.instances is not None]
    return any(i is None for i in ids) or bool(ids[0][0] == ids[1][0])  # type: ignore[index]


@dataclass(frozen=True)
class SiameseCriterion:
    """Anchors drawn by overlap, cross-entropy half over objects and half over background, L1 on the codes.

    Both are means over the anchors of each pair, and then over the pairs, with 0 for a pair that has none.

    Args:
        positive_iou, negative_iou: an anchor is object from the first on, background below the second.
        samples: anchors of a pair that learn: `positive_fraction` of them objects, the rest background, at most.
        negative_samples: anchors about the box of a pair of two different objects that learn as background.
        box_weight: of the L1 loss.
    """

    positive_iou: float = 0.6
    negative_iou: float = 0.3
    samples: int = 64
    positive_fraction: float = 0.25
    negative_samples: int = 16
    box_weight: float = 1.2

    def __call__(
        self, logits: Tensor, codes: Tensor, anchors: Tensor, boxes: Tensor, positive: Tensor
    ) -> dict[str, Tensor]:
        """Losses from logits (B, K, 2), codes (B, K, 4), anchors (K, 4), boxes (B, 4) and `positive` (B,)."""
        labels = torch.stack([
            self.assign(anchors, box) if same else self.assign_distractor(anchors, box)
            for box, same in zip(boxes, positive.tolist())
        ])  # fmt: skip
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none", ignore_index=IGNORED)
        loss = loss.view_as(labels)
        objects, background = labels == OBJECT, labels == BACKGROUND
        classification = (_means(loss, objects) + _means(loss, background)).mean() / 2
        wanted = encode(anchors, boxes[:, None].expand(-1, len(anchors), 4))
        distance = (codes - wanted).abs().sum(-1)  # (B, K)
        return {"loss_cls": classification, "loss_bbox": self.box_weight * _means(distance, objects).mean()}

    def assign(self, anchors: Tensor, box: Tensor) -> Tensor:
        """(K,) OBJECT, BACKGROUND or IGNORED for a pair of one object."""
        overlap = _iou(to_corners(anchors), to_corners(box))
        most = int(self.samples * self.positive_fraction)
        objects = _choose(overlap >= self.positive_iou, most)
        background = _choose(overlap < self.negative_iou, self.samples - most)
        labels = torch.full_like(overlap, IGNORED, dtype=torch.int64)
        labels[background] = BACKGROUND
        labels[objects] = OBJECT
        return labels

    def assign_distractor(self, anchors: Tensor, box: Tensor) -> Tensor:
        """As `assign` for another object than the template's: anchors within 3 positions of it are background."""
        stride = anchors[:, 0].unique().diff().min()
        near = ((anchors[:, :2] - box[:2]).abs() <= 3.5 * stride).all(1)
        labels = torch.full((len(anchors),), IGNORED, dtype=torch.int64, device=anchors.device)
        labels[_choose(near, self.negative_samples)] = BACKGROUND
        return labels


def _means(values: Tensor, mask: Tensor) -> Tensor:
    """Mean (B,) of each row of `values` (B, K) where `mask`; 0 where there are none."""
    return (values * mask).sum(1) / mask.sum(1).clamp(min=1)


def _choose(mask: Tensor, most: int) -> Tensor:
    """Up to `most` of the true places of a mask (K,), drawn at random."""
    places = mask.nonzero()[:, 0]
    chosen = places[torch.randperm(len(places), device=mask.device)[:most]]
    return torch.zeros_like(mask).index_fill_(0, chosen, True)


def _iou(boxes: Tensor, box: Tensor) -> Tensor:
    """Overlap (K,) of boxes (K, 4) with one box (4,), xyxy."""
    shared = (torch.minimum(boxes[:, 2:], box[2:]) - torch.maximum(boxes[:, :2], box[:2])).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return shared / (areas - shared)
