"""YOLOv3 (https://arxiv.org/abs/1804.02767): boxes within cells, objectness beside class scores."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import nms

from ...ops.boxes import box_centres, pairwise_iou
from ...structures import ImageList, Instances
from ..assigners import BACKGROUND, IGNORED
from ..assigners.common import learnable, require_levels, to_target_index
from ..backbones.darknet import ConvLeaky
from ..losses import binary_cross_entropy, mse_loss
from ..losses.classification import one_hot
from ..priors import GridAnchors
from .dense import DenseOutputs, LevelMaps
from .dense_postprocess import Candidates, DensePostprocessor, best_pairs, rescale
from .matching import match

EPS = 1e-6
BATCH = 8  # images whose losses the published training sums up on each device


class YOLOv3Predictor(nn.Module):
    """Four box codes, an objectness logit ("quality") and logits of every class for each anchor.

    Tensors are numbered from the coarsest map as published; maps come finest first.

    Args:
        classes: C.
        in_channels: of the maps, finest first; twice as many in between.
        anchors: per location.
    """

    def __init__(self, *, classes: int, in_channels: Sequence[int] = (128, 256, 512), anchors: int = 3) -> None:
        super().__init__()
        self.anchors = anchors
        coarse = list(reversed(in_channels))
        self.convs_bridge = nn.ModuleList(ConvLeaky(width, 2 * width, 3) for width in coarse)
        self.convs_pred = nn.ModuleList(nn.Conv2d(2 * width, anchors * (5 + classes), 1) for width in coarse)
        for conv in self.convs_pred:
            nn.init.normal_(conv.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> list[LevelMaps]:
        levels = [
            self.split(predict(bridge(x)))
            for bridge, predict, x in zip(self.convs_bridge, self.convs_pred, reversed(features))
        ]
        return levels[::-1]

    def split(self, x: Tensor) -> LevelMaps:
        """The parts of a map (B, anchors * (5 + C), H, W)."""
        parts = x.unflatten(1, (self.anchors, -1))
        codes, quality, logits = parts[:, :, :4], parts[:, :, 4:5], parts[:, :, 5:]
        return {"logits": logits.flatten(1, 2), "codes": codes.flatten(1, 2), "quality": quality.flatten(1, 2)}


class YOLOAnchors(GridAnchors):
    """Anchors of given sizes around the middle of each cell.

    Args:
        strides: by level.
        sizes: by level, the (width, height) of its anchors.
    """

    def __init__(self, strides: Sequence[float], sizes: Sequence[Sequence[tuple[float, float]]]) -> None:
        half = [torch.tensor(level, dtype=torch.float32) / 2 for level in sizes]
        super().__init__(
            strides, [torch.cat((stride / 2 - size, stride / 2 + size), dim=1) for stride, size in zip(strides, half)]
        )

    def stride_of_each(self, level_sizes: list[int], like: Tensor) -> Tensor:
        """The stride of every anchor, (A,)."""
        return like.new_tensor(self.strides).repeat_interleave(torch.tensor(level_sizes, device=like.device))


class YOLOAssigner:
    """Only anchors of the cell that a target's centre is in can learn it: the best one, and those that overlap enough.

    Needs `predictions` for the sizes of the levels.

    Args:
        anchors: knows the cells.
        positive: IoU above which an anchor of such a cell learns a target.
        negative: anchors are background up to this IoU.
    """

    def __init__(self, anchors: YOLOAnchors, *, positive: float = 0.5, negative: float = 0.5) -> None:
        self.anchors, self.positive, self.negative = anchors, positive, negative

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        boxes, index = learnable(targets)
        if len(boxes) == 0:
            return torch.full((len(priors),), BACKGROUND, device=priors.device)
        half = self.anchors.stride_of_each(require_levels(predictions), priors)[:, None, None] / 2
        offset = box_centres(boxes)[None] - box_centres(priors)[:, None]  # (A, N, 2)
        responsible = ((offset >= -half) & (offset < half)).all(-1).any(1)  # (A,)
        iou = pairwise_iou(priors, boxes)  # (A, N)
        assigned = torch.where(iou.amax(1) <= self.negative, BACKGROUND, IGNORED)
        iou = iou.masked_fill(~responsible[:, None], -1)
        best, target = iou.max(1)
        assigned = torch.where(best > self.positive, target, assigned)
        most = iou.amax(0)
        prior, own = ((iou == most) & (most > 0)).nonzero(as_tuple=True)
        forced = torch.full_like(assigned, BACKGROUND).scatter_reduce_(0, prior, own, "amax")
        return to_target_index(torch.where(forced >= 0, forced, assigned), index)


class YOLOCoder:
    """Centres by a sigmoid within the cell, log ratios of sizes. Boxes are not clipped to the image."""

    margin = 0

    def decode(self, priors: Tensor, codes: Tensor, stride: Tensor) -> Tensor:
        """Boxes (..., 4) of codes (..., 4) and the stride (...) of the priors' level."""
        centre = box_centres(priors) + (codes[..., :2].sigmoid() - 0.5) * stride[..., None]
        half = (priors[..., 2:] - priors[..., :2]) / 2 * codes[..., 2:].exp()
        return torch.cat((centre - half, centre + half), dim=-1)

    def encode(self, priors: Tensor, boxes: Tensor, stride: Tensor) -> Tensor:
        """Codes (..., 4), of which the first two are after the sigmoid."""
        centre = (box_centres(boxes) - box_centres(priors)) / stride[..., None] + 0.5
        size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=EPS) / (priors[..., 2:] - priors[..., :2])
        return torch.cat((centre.clamp(EPS, 1 - EPS), size.log()), dim=-1)


class YOLOv3Criterion:
    """Sums of the sigmoid losses of class, objectness and place, and of the squared errors of sizes.

    The sums are those of `BATCH` images, whatever the size of the batch.

    Args:
        assigner: anchors to targets.
        anchors: know the strides.
        coder: encodes the targets.
        box_weight: of the losses of place and size.
    """

    def __init__(
        self, *, assigner: YOLOAssigner, anchors: YOLOAnchors, coder: YOLOCoder, box_weight: float = 2.0
    ) -> None:
        self.assigner, self.anchors, self.coder, self.box_weight = assigner, anchors, coder, box_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        assert outputs.quality is not None
        matches = match(self.assigner, outputs, images, targets)
        rows = matches.rows
        stride = self.anchors.stride_of_each(outputs.level_sizes, outputs.priors)[rows % len(outputs.priors)]
        encoded = self.coder.encode(matches.priors, matches.boxes, stride)
        codes, logits = outputs.codes.flatten(0, 1)[rows], outputs.logits.flatten(0, 1)[rows]
        objects = torch.zeros_like(outputs.quality).flatten()
        objects[rows] = 1
        classification = binary_cross_entropy(logits, one_hot(matches.positive_labels, logits.shape[1], logits))
        losses = {
            "loss_class": classification.sum(),
            "loss_objectness": matches.counted(binary_cross_entropy(outputs.quality.flatten(), objects)),
            "loss_place": self.box_weight * binary_cross_entropy(codes[:, :2], encoded[:, :2]).sum(),
            "loss_size": self.box_weight * mse_loss(codes[:, 2:], encoded[:, 2:]).sum(),
        }
        return {name: loss * (BATCH / len(targets)) for name, loss in losses.items()}


class YOLOv3Postprocessor(DensePostprocessor):
    """As `DensePostprocessor`, from all anchors that are objects by at least `objectness`.

    Args:
        anchors: know the strides.
        objectness: least score of being an object.
        options: of `DensePostprocessor`.
    """

    def __init__(
        self,
        *,
        coder: YOLOCoder,
        anchors: YOLOAnchors,
        objectness: float = 0.005,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.45,
        max_detections: int = 100,
    ) -> None:
        super().__init__(
            coder=coder,  # type: ignore[arg-type]
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            pre_nms=sys.maxsize,
            max_detections=max_detections,
        )
        self.box_coder, self.anchors, self.objectness = coder, anchors, objectness

    def candidates(self, outputs: DenseOutputs) -> Candidates:
        assert outputs.quality is not None
        empty = outputs.quality.sigmoid() < self.objectness
        scores = outputs.logits.sigmoid().masked_fill(empty[..., None], 0)
        return Candidates(*best_pairs(scores, outputs.level_sizes, self.score_threshold, self.pre_nms))

    def boxes(self, outputs: DenseOutputs, found: Candidates, images: ImageList) -> Tensor:
        stride = self.anchors.stride_of_each(outputs.level_sizes, outputs.priors)[found.prior]
        boxes = self.box_coder.decode(outputs.priors[found.prior], outputs.codes[found.image, found.prior], stride)
        return rescale(boxes, found.image, images)

    def suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Instances:
        """As the reference does it, all classes at once, shifted apart in single precision.

        Boxes are not clipped, so those of an untrained network can be so large that the shift rounds small ones
        by pixels. The recorded outputs of the reference contain this; to trained networks it makes no difference.
        """
        if len(boxes):
            shift = labels.to(boxes) * (boxes.max() + 1)
            keep = nms(boxes + shift[:, None], scores, self.iou_threshold)[: self.max_detections]
            boxes, scores, labels = boxes[keep], scores[keep], labels[keep]
        return Instances(boxes=boxes, labels=labels, scores=scores)
