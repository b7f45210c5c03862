"""The decision of dense heads: the best pairs of prior and class of every level, decoded, suppressed by class."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ...structures import ImageList, Instances
from ..postprocess import class_nms
from .dense import DenseOutputs


class Decoder(Protocol):
    """The half of a box coder that inference needs."""

    margin: int  # boxes are clipped to this much less than the size of the image

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor: ...


class Candidates(NamedTuple):
    """K pairs of prior and class, ordered by image."""

    image: Tensor  # (K,) int64
    prior: Tensor  # (K,) int64
    label: Tensor  # (K,) int64
    score: Tensor  # (K,)


class DensePostprocessor:
    """Sigmoid scores, the best `pre_nms` pairs of prior and class of each level, non-maximum suppression by class.

    Args:
        coder: turns codes into boxes.
        score_threshold: class scores must be above it; the quality is multiplied afterwards.
        iou_threshold: of the suppression.
        pre_nms: pairs kept of each level.
        max_detections: kept of each image.
    """

    def __init__(
        self,
        *,
        coder: Decoder,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.5,
        pre_nms: int = 1000,
        max_detections: int = 100,
    ) -> None:
        self.coder = coder
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.pre_nms, self.max_detections = pre_nms, max_detections

    def __call__(self, outputs: DenseOutputs, images: ImageList) -> list[Instances]:
        found = self.candidates(outputs)
        boxes = self.boxes(outputs, found, images)
        scores = found.score
        if outputs.quality is not None:
            scores = scores * outputs.quality[found.image, found.prior].sigmoid()
        counts = torch.bincount(found.image, minlength=len(images)).tolist()
        parts = zip(boxes.split(counts), scores.split(counts), found.label.split(counts))
        return [self.suppress(*part) for part in parts]

    def candidates(self, outputs: DenseOutputs) -> Candidates:
        """The pairs that take part. Compared as logits: only what is chosen goes through the sigmoid."""
        threshold = torch.logit(torch.tensor(self.score_threshold, dtype=torch.float64)).item()
        image, prior, label, logit = best_pairs(outputs.logits, outputs.level_sizes, threshold, self.pre_nms)
        return Candidates(image, prior, label, logit.sigmoid())

    def boxes(self, outputs: DenseOutputs, found: Candidates, images: ImageList) -> Tensor:
        """The candidates' boxes (K, 4) in pixels of the originals."""
        boxes = self.coder.decode(outputs.priors[found.prior], outputs.codes[found.image, found.prior])
        return rescale(clip(boxes, found.image, images, self.coder.margin), found.image, images)

    def suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Instances:
        """The detections of one image, best first."""
        keep = class_nms(boxes, scores, labels, self.iou_threshold)[: self.max_detections]
        return Instances(boxes=boxes[keep], labels=labels[keep], scores=scores[keep])


def best_pairs(
    values: Tensor, level_sizes: list[int], threshold: float, best: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pairs of prior and class above a threshold, at most `best` of each image and level.

    Args:
        values: (B, A, C).
        level_sizes: priors of each level.

    Returns:
        Image, prior, class and value, each (K,), ordered by image and level, best first within.
    """
    image, prior, label = (values > threshold).nonzero(as_tuple=True)
    chosen = values[image, prior, label]
    ends = torch.tensor(level_sizes, device=values.device).cumsum(0)
    group = image * len(level_sizes) + torch.bucketize(prior, ends, right=True)
    counts = torch.bincount(group, minlength=len(values) * len(level_sizes)).tolist()
    start, rows = 0, []
    for part in chosen.split(counts):
        rows.append(part.topk(min(best, len(part))).indices + start)
        start += len(part)
    row = torch.cat(rows)
    return image[row], prior[row], label[row], chosen[row]


def clip(boxes: Tensor, image: Tensor, images: ImageList, margin: int = 0) -> Tensor:
    """Boxes (K, 4) of the images (K,), within them less `margin`."""
    limits = boxes.new_tensor([(w, h, w, h) for h, w in images.sizes]) - margin
    return torch.minimum(boxes.clamp(min=0), limits[image])


def rescale(boxes: Tensor, image: Tensor, images: ImageList) -> Tensor:
    """Boxes (K, 4) of the images (K,) in pixels of the originals."""
    return boxes / boxes.new_tensor([(x, y, x, y) for x, y in images.scales])[image]
