"""YOLOX (https://arxiv.org/abs/2107.08430): a point per cell, towers of their own for class and place, SimOTA."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor, nn

from ...ops.boxes import aligned_iou, pairwise_iou
from ...structures import ImageList, Instances
from ..assigners import BACKGROUND
from ..assigners.common import learnable, to_target_index
from ..backbones.csp_darknet import ConvSwish
from ..losses import binary_cross_entropy
from ..losses.classification import one_hot
from .dense import DenseOutputs, LevelMaps, initialise
from .dense_postprocess import Candidates, DensePostprocessor, rescale
from .matching import join, mean_over_processes, require_labels

FAR = 1e5  # cost of a prior that is not inside of a target and near its centre


class YOLOXPredictor(nn.Module):
    """Class logits, box codes and an objectness logit ("quality") for every cell; each level has towers of its own.

    Args:
        classes: C.
        in_channels: of the maps.
        levels: how many maps there are.
        channels: of the towers.
        convs: length of each tower.
    """

    def __init__(self, *, classes: int, in_channels: int, levels: int = 3, channels: int = 256, convs: int = 2) -> None:
        super().__init__()

        def towers() -> nn.ModuleList:
            widths = [in_channels] + [channels] * convs
            return nn.ModuleList(
                nn.Sequential(*(ConvSwish(a, b, 3) for a, b in zip(widths, widths[1:]))) for _ in range(levels)
            )

        def ends(count: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(channels, count, 1) for _ in range(levels))

        self.multi_level_cls_convs, self.multi_level_reg_convs = towers(), towers()
        self.multi_level_conv_cls, self.multi_level_conv_reg, self.multi_level_conv_obj = (
            ends(classes),
            ends(4),
            ends(1),
        )
        initialise(self.multi_level_conv_cls, *self.multi_level_conv_cls)  # type: ignore[arg-type]
        initialise(self.multi_level_conv_obj, *self.multi_level_conv_obj)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> list[LevelMaps]:
        return [self._level(index, x) for index, x in enumerate(features)]

    def _level(self, index: int, x: Tensor) -> LevelMaps:
        place = self.multi_level_reg_convs[index](x)
        return {
            "logits": self.multi_level_conv_cls[index](self.multi_level_cls_convs[index](x)),
            "codes": self.multi_level_conv_reg[index](place),
            "quality": self.multi_level_conv_obj[index](place),
        }


class YOLOXCoder:
    """The centre in strides from the cell's corner, and logarithms of width and height in strides."""

    margin = 0

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor:
        """Boxes (..., 4) of codes (..., 4) and points (..., 3) with their stride."""
        stride = priors[..., 2:]
        centre = priors[..., :2] + codes[..., :2] * stride
        half = codes[..., 2:].exp() * stride / 2
        return torch.cat((centre - half, centre + half), dim=-1)


class SimOTAAssigner:
    """Each target takes the cells that cost it least, as many as its best overlaps sum up to (section 2.1, SimOTA).

    Args:
        coder: decodes the predictions, whose overlaps and scores are the costs.
        radius: in strides about a target's centre, where cells may learn it.
        candidates: best overlaps that are summed up.
        overlap_weight: of the cost -log IoU; that of the class is 1.
    """

    def __init__(
        self, *, coder: YOLOXCoder, radius: float = 2.5, candidates: int = 10, overlap_weight: float = 3.0
    ) -> None:
        self.coder, self.radius = coder, radius
        self.candidates, self.overlap_weight = candidates, overlap_weight

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        """Needs `predictions`: the `DenseOutputs` of the image."""
        boxes, index = learnable(targets)
        assigned = torch.full((len(priors),), BACKGROUND, device=priors.device)
        inside, central = self._near(priors, boxes)  # (A, N)
        valid = (inside | central).any(1).nonzero()[:, 0]
        if not len(valid):
            return assigned
        labels = require_labels(targets)[index]
        overlap = pairwise_iou(self.coder.decode(priors[valid], predictions.codes[0, valid]), boxes)  # (V, N)
        scores = predictions.logits[0, valid].sigmoid() * predictions.quality[0, valid, None].sigmoid()
        cost = self._class_cost(scores.sqrt(), labels) - self.overlap_weight * (overlap + 1e-8).log()
        cost = cost + FAR * ~(inside & central)[valid]
        best, target = self._choose(cost, overlap)
        assigned[valid] = torch.where(best, target, BACKGROUND)
        return to_target_index(assigned, index)

    def _near(self, priors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Which cells' middles are inside of the targets, and which near their centres, (A, N) each."""
        middle = (priors[:, :2] + priors[:, 2:] / 2)[:, None]  # (A, 1, 2)
        inside = ((middle > boxes[:, :2]) & (middle < boxes[:, 2:])).all(-1)
        off = (middle - (boxes[:, :2] + boxes[:, 2:]) / 2).abs()
        return inside, (off < self.radius * priors[:, None, 2:]).all(-1)

    @staticmethod
    def _class_cost(scores: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy over all classes of scores (V, C) if the targets' labels (N,) were true: (V, N)."""
        yes, no = -scores.log().clamp(min=-100), -(1 - scores).log().clamp(min=-100)
        return no.sum(1, keepdim=True) - no[:, labels] + yes[:, labels]

    def _choose(self, cost: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Which cells (V,) learn, and the target each would learn."""
        count = min(self.candidates, len(overlap))
        wanted = overlap.topk(count, dim=0).values.sum(0).int().clamp(min=1)  # (N,)
        rank = cost.argsort(dim=0, stable=True).argsort(dim=0, stable=True)
        chosen = rank < wanted
        several = chosen.sum(1, keepdim=True) > 1
        target = torch.where(several, cost, cost.masked_fill(~chosen, torch.inf)).argmin(1)
        return chosen.any(1), target


class YOLOXCriterion:
    """Squared-IoU loss of boxes, sigmoid losses of objectness and of classes weighted by the overlap; per positive.

    Args:
        assigner: cells to targets.
        coder: decodes the boxes.
        box_weight: of the loss of boxes.
    """

    def __init__(self, *, assigner: SimOTAAssigner, coder: YOLOXCoder, box_weight: float = 5.0) -> None:
        self.assigner, self.coder, self.box_weight = assigner, coder, box_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        assert outputs.quality is not None
        with torch.no_grad():
            assigned = [self.assigner(outputs.priors, t, outputs.image(i)) for i, t in enumerate(targets)]
            matches = join(torch.stack(assigned), outputs.priors, targets)
        rows = matches.rows
        count = mean_over_processes(len(matches), outputs.logits)
        overlap = aligned_iou(self.coder.decode(matches.priors, outputs.codes.flatten(0, 1)[rows]), matches.boxes)
        logits = outputs.logits.flatten(0, 1)[rows]
        classes = one_hot(matches.positive_labels, logits.shape[1], logits) * overlap.detach()[:, None]
        objects = torch.zeros_like(outputs.quality).flatten()
        objects[rows] = 1
        return {
            "loss_class": binary_cross_entropy(logits, classes).sum() / count,
            "loss_objectness": binary_cross_entropy(outputs.quality.flatten(), objects).sum() / count,
            "loss_box": self.box_weight * (1 - overlap.square()).sum() / count,
        }


class YOLOXPostprocessor(DensePostprocessor):
    """Of every cell its best class, scored by class times objectness; boxes may leave the picture.

    Args:
        coder: decodes the boxes.
        score_threshold: least score.
        iou_threshold: of the suppression by class.
        max_detections: kept of each image.
    """

    def __init__(
        self,
        *,
        coder: YOLOXCoder,
        score_threshold: float = 0.01,
        iou_threshold: float = 0.65,
        max_detections: int = sys.maxsize,
    ) -> None:
        super().__init__(
            coder=coder,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            pre_nms=sys.maxsize,
            max_detections=max_detections,
        )

    def candidates(self, outputs: DenseOutputs) -> Candidates:
        assert outputs.quality is not None
        score, label = outputs.logits.sigmoid().max(-1)  # (B, A)
        image, prior = (score * outputs.quality.sigmoid() >= self.score_threshold).nonzero(as_tuple=True)
        return Candidates(image, prior, label[image, prior], score[image, prior])

    def boxes(self, outputs: DenseOutputs, found: Candidates, images: ImageList) -> Tensor:
        boxes = self.coder.decode(outputs.priors[found.prior], outputs.codes[found.image, found.prior])
        return rescale(boxes, found.image, images)
