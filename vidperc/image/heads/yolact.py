"""YOLACT (https://arxiv.org/abs/1904.02689): masks as sums of prototypes of the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...layers.conv import ConvNorm, init_xavier
from ...ops.boxes import aligned_iou
from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..box_coders import DeltaCoder
from ..losses import cross_entropy, smooth_l1_loss
from ..priors import GridAnchors, shapes
from .dense import DenseHead, DenseOutputs, LevelMaps, full_precision
from .dense_postprocess import clip, rescale
from .matching import Matches, match
from .yolact_masks import MaskLoss, draw_masks, semantic_loss


class YOLACTPredictor(nn.Module):
    """Logits of every class and of background, four box codes and mask coefficients ("coefficients") for each anchor.

    Args:
        classes: C; the logits have a channel more, the last one.
        in_channels: of the maps.
        channels: of the convolutions before.
        anchors: per location.
        prototypes: coefficients of a mask, between -1 and 1.
        convs: shared by all outputs.
    """

    def __init__(
        self,
        *,
        classes: int,
        in_channels: int = 256,
        channels: int = 256,
        anchors: int = 3,
        prototypes: int = 32,
        convs: int = 1,
    ) -> None:
        super().__init__()
        self.head_convs = nn.Sequential(
            *(ConvNorm(channels if i else in_channels, channels, 3, padding=1) for i in range(convs))
        )
        self.conv_cls = nn.Conv2d(channels, anchors * (classes + 1), 3, padding=1)
        self.conv_reg = nn.Conv2d(channels, anchors * 4, 3, padding=1)
        self.conv_coeff = nn.Conv2d(channels, anchors * prototypes, 3, padding=1)
        init_xavier(self)

    def forward(self, features: list[Tensor]) -> list[LevelMaps]:
        return [self._level(self.head_convs(x)) for x in features]

    def _level(self, x: Tensor) -> LevelMaps:
        return {
            "logits": self.conv_cls(x),
            "codes": self.conv_reg(x),
            "coefficients": self.conv_coeff(x).tanh(),
        }


class YOLACTAnchors(GridAnchors):
    """Anchors of one scale in the middle of the cells of a square picture.

    Args:
        side: of the picture, in pixels.
        cells: along a side, by level.
        base_sizes: by level; an anchor of ratio 1 has sides `scale` times as long.
        ratios: height / width.
    """

    def __init__(
        self,
        side: int = 550,
        cells: Sequence[int] = (69, 35, 18, 9, 5),
        *,
        base_sizes: Sequence[float] = (8, 16, 32, 64, 128),
        scale: float = 3.0,
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
    ) -> None:
        strides = [side / count for count in cells]
        halves = [shapes(size, ratios, (scale,)) / 2 for size in base_sizes]
        base = [torch.cat((stride / 2 - half, stride / 2 + half), dim=1) for stride, half in zip(strides, halves)]
        super().__init__(strides, base)


class YOLACTHead(DenseHead):
    """A dense head whose anchors bring coefficients of prototypes, and a segmentation that only training looks at.

    Args:
        protonet: the finest map to prototypes (B, K, h, w).
        semantic: the finest map to logits of every class (B, C, H, W).
        criterion: (outputs, prototypes, semantic logits, images, targets) to losses by name.
        postprocessor: (outputs, prototypes, images) to detections with masks.
        parts: of `DenseHead`.
    """

    def __init__(
        self,
        *,
        protonet: nn.Module,
        semantic: nn.Module,
        criterion: Callable[..., dict[str, Tensor]],
        postprocessor: Callable[..., list[Instances]],
        predictor: nn.Module,
        priors: GridAnchors,
    ) -> None:
        super().__init__(predictor=predictor, priors=priors, criterion=criterion, postprocessor=postprocessor)
        self.protonet, self.semantic = protonet, semantic

    def detect(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        outputs, prototypes = self(features), self.protonet(features[0])
        with full_precision(outputs.logits):
            return self.postprocessor(outputs, prototypes.float(), images)  # type: ignore[call-arg, arg-type]

    def loss(self, features: list[Tensor], images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        outputs, prototypes, semantic = self(features), self.protonet(features[0]), self.semantic(features[0])
        with full_precision(outputs.logits):
            return self.criterion(outputs, prototypes.float(), semantic.float(), images, targets)  # type: ignore


class YOLACTCriterion:
    """Softmax loss of positive and of the worst negative anchors, smooth L1 of codes, losses of masks.

    Args:
        assigner: anchors to targets.
        coder: encodes the targets.
        mask_loss: of the positive anchors' masks.
        negatives: per positive; an image without positives learns from all.
        box_weight: of the codes' loss.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        coder: DeltaCoder,
        mask_loss: MaskLoss,
        negatives: int = 3,
        box_weight: float = 1.5,
    ) -> None:
        self.assigner, self.coder, self.mask_loss = assigner, coder, mask_loss
        self.negatives, self.box_weight = negatives, box_weight

    def __call__(
        self, outputs: DenseOutputs, prototypes: Tensor, semantic: Tensor, images: ImageList, targets: list[Instances]
    ) -> dict[str, Tensor]:
        matches = match(self.assigner, outputs, images, targets)
        positives = torch.bincount(matches.images, minlength=len(targets))  # (B,)
        count = positives.clamp(min=1).sum()  # an image without any counts as one
        codes = outputs.codes.flatten(0, 1)[matches.rows]
        boxes = smooth_l1_loss(codes, self.coder.encode(matches.priors, matches.boxes))
        coefficients = outputs.extra["coefficients"].flatten(0, 1)[matches.rows]
        return {
            "loss_class": self.class_loss(outputs.logits, matches, positives) / count,
            "loss_box": self.box_weight * boxes.sum() / count,
            "loss_mask": self.mask_loss(prototypes, coefficients, matches, images, targets),
            "loss_semantic": semantic_loss(semantic, images, targets),
        }

    def class_loss(self, logits: Tensor, matches: Matches, positives: Tensor) -> Tensor:
        """The sum over the positive anchors and the hardest negative ones of each image."""
        batch, count, channels = logits.shape
        labels = torch.where(matches.labels < 0, channels - 1, matches.labels)
        loss = cross_entropy(logits.flatten(0, 1), labels)
        negative = loss.masked_fill(~matches.background, 0).view(batch, count)
        hardest = negative.sort(dim=1, descending=True).values
        allowed = torch.where(positives > 0, self.negatives * positives, count)
        hard = hardest[torch.arange(count, device=loss.device) < allowed[:, None]]
        return loss[matches.rows].sum() + hard.sum()


class YOLACTPostprocessor:
    """Softmax scores, fast suppression by class, masks cropped to their boxes.

    Args:
        coder: decodes the boxes.
        score_threshold: scores must be above it.
        iou_threshold: of the suppression.
        pre_nms: anchors kept of each level, by their best class.
        per_class: boxes of each class that take part.
        max_detections: kept of each image.
    """

    def __init__(
        self,
        *,
        coder: DeltaCoder,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        pre_nms: int = 1000,
        per_class: int = 200,
        max_detections: int = 100,
    ) -> None:
        self.coder, self.score_threshold, self.iou_threshold = coder, score_threshold, iou_threshold
        self.pre_nms, self.per_class, self.max_detections = pre_nms, per_class, max_detections

    def __call__(self, outputs: DenseOutputs, prototypes: Tensor, images: ImageList) -> list[Instances]:
        scores = outputs.logits.softmax(-1)[..., :-1]
        row = best_of_levels(scores.amax(-1), outputs.level_sizes, self.pre_nms)  # (B, K)
        image = torch.arange(len(row), device=row.device)[:, None].expand_as(row)
        boxes = self.coder.decode(outputs.priors[row], outputs.codes[image, row])
        boxes = rescale(clip(boxes, image, images), image, images)
        coefficients = outputs.extra["coefficients"][image, row]
        found = []
        for i, size in enumerate(images.original_sizes):
            detections, kept = self.suppress(boxes[i], scores[i, row[i]])
            masks = draw_masks(prototypes[i], coefficients[i, kept], detections.boxes, size)
            found.append(detections.replace(masks=masks))
        return found

    def suppress(self, boxes: Tensor, scores: Tensor) -> tuple[Instances, Tensor]:
        """The detections among boxes (K, 4) with scores (K, C), best first, and the row (N,) each came from.

        A box falls by any better one of its class that overlaps it, fallen or not (section 5.1, fast NMS).
        """
        best, row = scores.T.topk(min(self.per_class, len(scores)), dim=1)  # (C, T)
        label = (best[:, 0] > self.score_threshold).nonzero()[:, 0]
        best, row = best[label], row[label]
        candidates = boxes[row]  # (c, T, 4)
        overlap = aligned_iou(candidates[:, :, None], candidates[:, None]).triu(diagonal=1).amax(1)
        keep = (overlap <= self.iou_threshold) & (best > self.score_threshold)
        order = best[keep].argsort(descending=True)[: self.max_detections]
        labels = label[:, None].expand_as(row)[keep][order]
        kept = row[keep][order]
        return Instances(boxes=boxes[kept], labels=labels, scores=best[keep][order]), kept


def best_of_levels(scores: Tensor, level_sizes: list[int], best: int) -> Tensor:
    """Rows (B, K) of the `best` scores (B, A) of each level."""
    starts = torch.tensor([0, *level_sizes[:-1]]).cumsum(0).tolist()
    levels = scores.split(level_sizes, dim=1)
    rows = [level.topk(min(best, level.shape[1])).indices + start for level, start in zip(levels, starts)]
    return torch.cat(rows, dim=1)
