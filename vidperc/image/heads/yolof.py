"""YOLOF (https://arxiv.org/abs/2103.09460): one level, objectness within class scores, as many anchors per target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...layers.conv import ConvNorm
from ...ops.boxes import pairwise_iou
from ...structures import ImageList, Instances
from ..assigners import BACKGROUND, IGNORED
from ..assigners.common import learnable, to_target_index
from ..box_coders import DeltaCoder
from ..losses import giou_loss, sigmoid_focal_loss
from .dense import DenseOutputs, LevelMaps, initialise
from .matching import join, last_of_each, mean_over_processes, outside


class YOLOFPredictor(nn.Module):
    """Logits of every class and four box codes for each anchor; an object's logits contain that it is one.

    Args:
        classes: C.
        in_channels: of the map and of the towers.
        anchors: per location.
        cls_convs, reg_convs: length of the towers.
    """

    def __init__(
        self, *, classes: int, in_channels: int = 512, anchors: int = 5, cls_convs: int = 2, reg_convs: int = 4
    ) -> None:
        super().__init__()

        def tower(length: int) -> nn.Sequential:
            return nn.Sequential(*(ConvNorm(in_channels, in_channels, 3, padding=1, norm="bn") for _ in range(length)))

        self.anchors = anchors
        self.cls_subnet, self.bbox_subnet = tower(cls_convs), tower(reg_convs)
        self.cls_score = nn.Conv2d(in_channels, anchors * classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(in_channels, anchors * 4, 3, padding=1)
        self.object_pred = nn.Conv2d(in_channels, anchors, 3, padding=1)
        initialise(self, self.cls_score)

    def forward(self, features: list[Tensor]) -> list[LevelMaps]:
        place = self.bbox_subnet(features[0])
        classes = self.cls_score(self.cls_subnet(features[0])).unflatten(1, (self.anchors, -1)).float()
        logits = joint_logits(classes, self.object_pred(place).unsqueeze(2).float())
        return [{"logits": logits.flatten(1, 2), "codes": self.bbox_pred(place)}]


def joint_logits(classes: Tensor, objects: Tensor) -> Tensor:
    """The logits of the product of two sigmoids, given their logits."""
    neither = torch.logaddexp(torch.logaddexp(classes, objects), torch.zeros_like(classes))
    return classes + objects - neither


class NearDeltaCoder(DeltaCoder):
    """As `DeltaCoder`; a centre moves by at most `largest_move` pixels, sizes are bounded above alone."""

    def __init__(self, largest_move: float = 32.0) -> None:
        super().__init__()
        self.largest_move = largest_move

    def bound(self, move: Tensor, log_ratio: Tensor) -> tuple[Tensor, Tensor]:
        return move.clamp(-self.largest_move, self.largest_move), log_ratio.clamp(max=self.largest_log_ratio)


@dataclass(slots=True)
class UniformMatches:
    """Which anchors of an image learn what, and the M pairs that were looked at: an anchor may be in several."""

    assigned: Tensor  # (A,) target, BACKGROUND or IGNORED
    anchors: Tensor  # (M,)
    targets: Tensor  # (M,)
    learns: Tensor  # (M,) bool, whether the pair takes part


class UniformAssigner:
    """The same number of anchors for every target, whatever its size (section 4.2, uniform matching).

    Args:
        nearest: so many anchors, and the anchors of so many predictions, that are nearest in centre and size.
        least_iou: such an anchor overlaps the target by at least this much, else it is ignored.
        ignore_above: IoU of a prediction with any target, above which its anchor is no background.
    """

    def __init__(self, nearest: int = 4, least_iou: float = 0.15, ignore_above: float = 0.7) -> None:
        self.nearest, self.least_iou, self.ignore_above = nearest, least_iou, ignore_above

    def __call__(self, anchors: Tensor, predicted: Tensor, boxes: Tensor) -> UniformMatches:
        """Match anchors (A, 4) and the boxes predicted on them (A, 4) with targets (N, 4)."""
        near = torch.cat((self._nearest(predicted, boxes), self._nearest(anchors, boxes)), dim=1)  # (K, 2N)
        rows = near.flatten()
        targets = torch.arange(len(boxes), device=rows.device).repeat(2 * len(near))
        learns = pairwise_iou(anchors, boxes)[rows, targets] >= self.least_iou
        best = pairwise_iou(predicted, boxes).amax(1) if len(boxes) else predicted.new_zeros(len(predicted))
        assigned = torch.where(best > self.ignore_above, IGNORED, BACKGROUND)
        # Of several pairs of an anchor the last counts.
        taken, pair = last_of_each(rows, len(assigned))
        assigned[taken] = torch.where(learns[pair], targets[pair], IGNORED)
        return UniformMatches(assigned, rows, targets, learns)

    def _nearest(self, candidates: Tensor, boxes: Tensor) -> Tensor:
        """Rows of the candidates (A, 4) nearest to each box (N, 4), nearest first: (K, N)."""
        distance = torch.cdist(centres_and_sizes(candidates), centres_and_sizes(boxes), p=1)
        return distance.topk(min(self.nearest, len(candidates)), dim=0, largest=False).indices


def centres_and_sizes(boxes: Tensor) -> Tensor:
    """Boxes (..., 4) xyxy as centre and size."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat(((low + high) / 2, high - low), dim=-1)


class YOLOFCriterion:
    """Focal loss of all anchors and GIoU of all pairs of anchor and target, per anchor that learns a target.

    Args:
        assigner: anchors to targets.
        coder: decodes the boxes.
    """

    def __init__(self, *, assigner: UniformAssigner, coder: DeltaCoder) -> None:
        self.assigner, self.coder = assigner, coder

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        assigned, box_loss = [], outputs.codes.sum() * 0
        for codes, size, each in zip(outputs.codes, images.padded_alone, targets):
            boxes, index = learnable(each)
            valid = (~outside(outputs.priors, size)).nonzero()[:, 0]
            with torch.no_grad():
                predicted = self.coder.decode(outputs.priors[valid], codes[valid])
                matches = self.assigner(outputs.priors[valid], predicted, boxes)
            rows = valid[matches.anchors[matches.learns]]
            found = self.coder.decode(outputs.priors[rows], codes[rows])
            box_loss = box_loss + giou_loss(found, boxes[matches.targets[matches.learns]]).sum()
            whole = torch.full_like(outputs.priors[:, 0], IGNORED, dtype=torch.int64)
            whole[valid] = to_target_index(matches.assigned, index)
            assigned.append(whole)
        together = torch.stack(assigned)
        joined = join(together, outputs.priors, targets)
        count = (together >= 0).sum(1).clamp(min=1).sum()  # an image without any counts as one
        positives = mean_over_processes(count, outputs.logits)
        classification = sigmoid_focal_loss(outputs.logits.flatten(0, 1), joined.labels)
        return {"loss_class": joined.counted(classification) / positives, "loss_box": box_loss / positives}
