"""SeqFormer's targets, matching and losses (https://arxiv.org/abs/2112.08275, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.ops import box_convert, generalized_box_iou

from ..image.assigners import BACKGROUND
from ..image.losses import binary_focal_loss, giou_loss, sigmoid_focal_loss
from ..structures import Clip
from .seqformer_decoder import DecodedLayer

MASK_STRIDE = 4


@dataclass(slots=True)
class VideoTargets:
    """The N objects of a clip of T frames. In a frame without it an object has a box of zeros and no mask."""

    labels: Tensor  # (N,)
    boxes: Tensor  # (N, T, 4) cx cy w h, from 0 to 1 over the unpadded frame
    masks: Tensor  # (N, T, H / 4, W / 4) bool, of the padded frame
    size: tuple[int, int]  # (height, width) without the padding

    def to(self, device: torch.device) -> VideoTargets:
        return VideoTargets(self.labels.to(device), self.boxes.to(device), self.masks.to(device), self.size)


@dataclass(slots=True)
class VideoOutputs:
    """What one decoder layer says of B videos."""

    logits: Tensor  # (B, Q, C)
    decoded: DecodedLayer


def video_targets(clip: Clip, padded: tuple[int, int]) -> VideoTargets:
    """Every object seen in the clip, over all of its frames; objects are the same where their ids are.

    Raises:
        ValueError: a frame without ground truth, without ids, labels or masks, or of another size than the first.
    """
    size = clip.frames[0].size
    ids: dict[int, int] = {}
    found: list[tuple[int, int, int, Tensor, Tensor]] = []  # object, label, frame, box, mask
    for t, frame in enumerate(clip.frames):
        objects = frame.instances
        where = f"{clip.video}, frame {frame.index}"
        if objects is None or objects.ids is None or objects.labels is None or objects.masks is None:
            raise ValueError(f"{where}: SeqFormer trains on objects with ids, labels and masks")
        if frame.size != size:
            raise ValueError(f"{where}: size {frame.size}, the clip's first frame has {size}")
        keep = torch.ones(len(objects), dtype=torch.bool) if objects.ignored is None else ~objects.ignored
        for row in keep.nonzero().flatten().tolist():
            if objects.masks[row].any():
                number = ids.setdefault(int(objects.ids[row]), len(ids))
                found.append((number, int(objects.labels[row]), t, objects.boxes[row], objects.masks[row]))
    labels = torch.zeros(len(ids), dtype=torch.int64)
    boxes = torch.zeros(len(ids), len(clip), 4)
    stride = MASK_STRIDE
    masks = torch.zeros(len(ids), len(clip), -(-padded[0] // stride), -(-padded[1] // stride), dtype=torch.bool)
    scale = torch.tensor([size[1], size[0]] * 2)
    for number, label, t, box, mask in found:
        labels[number] = label
        boxes[number, t] = box_convert(box.float(), "xyxy", "cxcywh") / scale
        full = pad(mask, (0, padded[1] - size[1], 0, padded[0] - size[0]))
        masks[number, t] = full[stride // 2 :: stride, stride // 2 :: stride]
    return VideoTargets(labels, boxes, masks, size)


class SeqFormerCriterion(nn.Module):
    """Hungarian matching of whole tracks, then focal, L1, GIoU, mask focal and dice losses after every layer.

    Args:
        class_weight, box_weight, giou_weight, mask_weight, dice_weight: of the losses; the first three also of the
            costs that the matching minimises.
        alpha: the focal losses' weight of the positive class.
    """

    def __init__(
        self,
        *,
        class_weight: float = 2.0,
        box_weight: float = 5.0,
        giou_weight: float = 2.0,
        mask_weight: float = 2.0,
        dice_weight: float = 5.0,
        alpha: float = 0.25,
    ) -> None:
        super().__init__()
        self.class_weight, self.box_weight, self.giou_weight = class_weight, box_weight, giou_weight
        self.mask_weight, self.dice_weight, self.alpha = mask_weight, dice_weight, alpha

    def forward(
        self,
        outputs: Sequence[VideoOutputs],
        targets: Sequence[VideoTargets],
        masks: Callable[[int, int, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """Weighted losses; those of layer i but the last end in `_i`.

        Args:
            outputs: of every layer.
            targets: of every video.
            masks: (layer, video, queries (N,)) to mask logits (N, T, H / 4, W / 4).
        """
        losses: dict[str, Tensor] = {}
        for index, output in enumerate(outputs):
            suffix = "" if index == len(outputs) - 1 else f"_{index}"
            matched = [self.match(output, video, target) for video, target in enumerate(targets)]
            logits = [masks(index, video, queries) for video, (queries, _) in enumerate(matched)]
            for name, value in self._layer_losses(output, targets, matched, logits).items():
                losses[f"loss_{name}{suffix}"] = value
        return losses

    @torch.no_grad()
    def match(self, output: VideoOutputs, video: int, target: VideoTargets) -> tuple[Tensor, Tensor]:
        """Which query (N,) stands for which object (N,) of a video, in order of the queries."""
        scores = output.logits[video].float().sigmoid()  # (Q, C)
        positive = self.alpha * (1 - scores) ** 2 * -(scores + 1e-8).log()
        negative = (1 - self.alpha) * scores**2 * -(1 - scores + 1e-8).log()
        class_cost = (positive - negative)[:, target.labels]  # (Q, N)
        boxes, wanted = output.decoded.boxes[video].transpose(0, 1), target.boxes  # (Q, T, 4), (N, T, 4)
        box_cost = torch.cdist(boxes.flatten(1), wanted.flatten(1), p=2)
        frames = boxes.shape[1]
        overlap = [
            generalized_box_iou(corners(boxes[:, t]), corners(wanted[:, t].clamp(1e-7, 1))) for t in range(frames)
        ]
        giou_cost = -torch.stack(overlap).mean(0)
        cost = self.class_weight * class_cost + self.box_weight * box_cost + self.giou_weight * giou_cost
        queries, objects = linear_sum_assignment(np.nan_to_num(cost.cpu().numpy(), nan=1e6))
        device = scores.device
        return torch.as_tensor(queries, device=device), torch.as_tensor(objects, device=device)

    def _layer_losses(
        self,
        output: VideoOutputs,
        targets: Sequence[VideoTargets],
        matched: Sequence[tuple[Tensor, Tensor]],
        mask_logits: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        count = max(sum(len(target.labels) for target in targets), 1)
        classes = self._class_loss(output.logits.float(), targets, matched) / count
        boxes = torch.cat([output.decoded.boxes[v][:, q].transpose(0, 1) for v, (q, _) in enumerate(matched)])
        wanted = torch.cat([target.boxes[n] for target, (_, n) in zip(targets, matched)])  # (N, T, 4)
        frames = wanted.shape[1]
        absolute = (boxes - wanted).abs().sum() / frames / count
        apart = giou_loss(corners(boxes).flatten(0, 1), corners(wanted.clamp(1e-7, 1)).flatten(0, 1))
        logits = torch.cat([part.flatten(1) for part in mask_logits])  # (N, T * H * W)
        truth = torch.cat([target.masks[n].flatten(1) for target, (_, n) in zip(targets, matched)]).float()
        return {
            "ce": self.class_weight * classes,
            "bbox": self.box_weight * absolute,
            "giou": self.giou_weight * apart.sum() / frames / count,
            "mask": self.mask_weight * binary_focal_loss(logits, truth, self.alpha).mean(1).sum() / count,
            "dice": self.dice_weight * dice(logits, truth).sum() / count,
        }

    def _class_loss(
        self, logits: Tensor, targets: Sequence[VideoTargets], matched: Sequence[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """The focal loss of all queries and classes, summed (B, Q, C)."""
        labels = torch.full(logits.shape[:2], BACKGROUND, device=logits.device)
        for row, target, (queries, objects) in zip(labels, targets, matched):
            row[queries] = target.labels[objects]
        return sigmoid_focal_loss(logits.flatten(0, 1), labels.flatten(), self.alpha).sum()


def dice(logits: Tensor, targets: Tensor) -> Tensor:
    """One minus the Dice coefficient of each row, (N, P) to (N,)."""
    scores = logits.sigmoid()
    return 1 - (2 * (scores * targets).sum(1) + 1) / (scores.sum(1) + targets.sum(1) + 1)


def corners(boxes: Tensor) -> Tensor:
    """cx cy w h to x1 y1 x2 y2, (..., 4)."""
    return box_convert(boxes, "cxcywh", "xyxy")
