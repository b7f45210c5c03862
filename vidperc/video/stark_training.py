"""Training of STARK (https://arxiv.org/abs/2103.17154, sections 3.1, 3.2): clips as batches of crops, losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..image.losses.boxes import giou_loss
from ..image.losses.classification import binary_cross_entropy
from ..image.losses.regression import l1_loss
from ..ops.padded_crop import PaddedCrop
from ..structures import Clip, Frame

Crops = tuple[Tensor, Tensor]  # (B, 3, H, W) RGB, 0 to 255, and their padding (B, H, W) bool


@dataclass(slots=True)
class TrainingBatch:
    """B clips."""

    templates: list[Crops]  # K of them
    search: Crops
    boxes: Tensor  # (B, 4) xyxy in pixels of the search crop
    positive: Tensor  # (B,) bool, the search crop shows the templates' object


def training_batch(clips: list[Clip], templates: int, sizes: tuple[int, int], device: torch.device) -> TrainingBatch:
    """Clips of `templates` template crops and a search crop as one batch; `sizes` are those of the two kinds.

    Raises:
        ValueError: a clip of another number of frames, or a frame that is no crop of its size with one box.
    """
    for clip in clips:
        if len(clip) != templates + 1:
            wanted = f"{templates} templates and a search frame"
            raise ValueError(f"clip of '{clip.video}': expected {wanted}, got {len(clip)} frames")
        for place, frame in enumerate(clip.frames):
            _check(frame, sizes[place == templates], clip.video)
    kinds = [_stack([clip[place] for clip in clips], device) for place in range(templates + 1)]
    boxes = torch.cat([clip[-1].instances.boxes for clip in clips]).float()  # type: ignore[union-attr]
    positive = torch.tensor([_same_object(clip) for clip in clips])
    return TrainingBatch(kinds[:-1], kinds[-1], boxes.to(device), positive.to(device))


def _check(frame: Frame, size: int, video: str) -> None:
    if not isinstance(frame, PaddedCrop) or frame.padding is None or frame.size != (size, size):
        kind = f"{type(frame).__name__} of {frame.size[1]}x{frame.size[0]}"
        raise ValueError(f"{video}, frame {frame.index}: expected a PaddedCrop of {size}x{size}, got a {kind}")
    if frame.instances is None or len(frame.instances) != 1:
        count = None if frame.instances is None else len(frame.instances)
        raise ValueError(f"{video}, frame {frame.index}: expected one box to train on, got {count}")


def _stack(frames: list[Frame], device: torch.device) -> Crops:
    images = torch.stack([frame.image.to(device).float() for frame in frames])
    padding = torch.stack([frame.padding.to(device) for frame in frames])  # type: ignore[attr-defined]
    return images.contiguous(memory_format=torch.channels_last), padding


def _same_object(clip: Clip) -> bool:
    ids = [frame.instances.ids for frame in (clip[0], clip[-1]) if frame.instances is not None]
    return any(i is None for i in ids) or bool(ids[0][0] == ids[1][0])  # type: ignore[index]


@dataclass(frozen=True)
class BoxCriterion:
    """L1 and generalised IoU of boxes in shares of the search crop, both as means over the batch.

    Early in training corners may be the wrong way round. As published, the IoU's loss of a batch in which a box,
    found or true, has no area is 0.
    """

    box_weight: float = 5.0
    iou_weight: float = 2.0

    def __call__(self, boxes: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Losses from boxes (B, 4) xyxy and true ones, which are clipped to the crop."""
        targets = targets.clamp(0, 1)
        both = torch.cat([boxes, targets])
        if bool((both[:, :2] >= both[:, 2:]).any()):
            overlap = boxes.sum() * 0.0
        else:
            overlap = giou_loss(boxes, targets, eps=1e-6).mean()
        return {
            "loss_bbox": self.box_weight * l1_loss(boxes, targets).mean(),
            "loss_iou": self.iou_weight * overlap,
        }


@dataclass(frozen=True)
class ScoreCriterion:
    """Binary cross-entropy, as the mean over the batch."""

    weight: float = 1.0

    def __call__(self, logits: Tensor, positive: Tensor) -> dict[str, Tensor]:
        """The loss of logits (B,), `positive` (B,) where the object is in the search region."""
        return {"loss_cls": self.weight * binary_cross_entropy(logits, positive.float()).mean()}
