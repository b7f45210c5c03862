"""SABL on RetinaNet (https://arxiv.org/abs/1912.04260): boxes by the buckets that their sides are in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..bucket_coder import BucketCoder
from ..losses import binary_cross_entropy, sigmoid_focal_loss, smooth_l1_loss
from .dense import DenseOutputs, LevelMaps, TowerPredictor, initialise
from .dense_postprocess import Candidates, DensePostprocessor, clip, rescale
from .matching import match


class SABLPredictor(TowerPredictor):
    """Logits of every class, and of each side of a box the logits of its buckets and the offsets from them.

    Args:
        classes: C.
        side_buckets: of a side.
        options: of the towers.
    """

    def __init__(self, *, classes: int, side_buckets: int = 7, channels: int = 256, **options: Any) -> None:
        super().__init__(channels=channels, **options)
        self.side_buckets = side_buckets
        self.retina_cls = nn.Conv2d(channels, classes, 3, padding=1)
        self.retina_bbox_cls = nn.Conv2d(channels, 4 * side_buckets, 3, padding=1)
        self.retina_bbox_reg = nn.Conv2d(channels, 4 * side_buckets, 3, padding=1)
        initialise(self, self.retina_cls)

    def level(self, index: int, x: Tensor) -> LevelMaps:
        reg = self.reg_convs(x)
        parts = [
            conv(reg).unflatten(1, (4, self.side_buckets)) for conv in (self.retina_bbox_cls, self.retina_bbox_reg)
        ]
        return {"logits": self.retina_cls(self.cls_convs(x)), "codes": torch.cat(parts, dim=2).flatten(1, 2)}


def by_side(codes: Tensor) -> Tensor:
    """Flat codes (..., 4 * 2 * S) as a `BucketCoder` takes them."""
    return codes.unflatten(-1, (4, -1))


class SABLCriterion:
    """Focal loss of all priors; of the positive ones cross entropy of the buckets and smooth L1 of the offsets.

    Args:
        assigner: priors to targets.
        coder: encodes the targets.
        bucket_weight, offset_weight: of the two.
    """

    def __init__(
        self, *, assigner: Assigner, coder: BucketCoder, bucket_weight: float = 1.5, offset_weight: float = 1.5
    ) -> None:
        self.assigner, self.coder = assigner, coder
        self.bucket_weight, self.offset_weight = bucket_weight, offset_weight

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match(self.assigner, outputs, images, targets)
        classification = sigmoid_focal_loss(outputs.logits.flatten(0, 1), matches.labels)
        codes = by_side(outputs.codes.flatten(0, 1)[matches.rows])
        buckets, offsets = bucket_losses(codes, self.coder, matches.priors, matches.boxes, beta=1 / 9)
        sides = 4 * matches.count(len(targets))
        return {
            "loss_class": matches.counted(classification) * 4 / sides,
            "loss_bucket": self.bucket_weight * buckets / (sides * self.coder.side_buckets),
            "loss_offset": self.offset_weight * offsets / (sides * self.coder.near),
        }


def bucket_losses(
    codes: Tensor, coder: BucketCoder, priors: Tensor, boxes: Tensor, beta: float
) -> tuple[Tensor, Tensor]:
    """The sums of the cross entropy of the buckets and of the smooth L1 loss of the offsets.

    Args:
        codes: (P, 4, 2 * S); priors, boxes: (P, 4).
        beta: turning point of smooth L1.
    """
    logits, offsets = codes.split(coder.side_buckets, dim=-1)
    goal = coder.encode(priors, boxes)
    bucket = binary_cross_entropy(logits, goal.buckets) * goal.bucket_weights
    offset = smooth_l1_loss(offsets, goal.offsets, beta) * goal.offset_weights
    return bucket.sum(), offset.sum()


class SABLPostprocessor(DensePostprocessor):
    """As `DensePostprocessor`; scores are multiplied with how sure the sides of the box are."""

    coder: BucketCoder

    def candidates(self, outputs: DenseOutputs) -> Candidates:
        found = super().candidates(outputs)
        sure = self.coder.confidence(by_side(outputs.codes[found.image, found.prior]))
        return found._replace(score=found.score * sure)

    def boxes(self, outputs: DenseOutputs, found: Candidates, images: ImageList) -> Tensor:
        codes = by_side(outputs.codes[found.image, found.prior])
        boxes = self.coder.decode(outputs.priors[found.prior], codes)
        return rescale(clip(boxes, found.image, images, self.coder.margin), found.image, images)
