"""Guided Anchoring on RetinaNet (https://arxiv.org/abs/1901.03278): its losses and its decision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..box_coders import DeltaCoder
from ..losses import sigmoid_focal_loss, smooth_l1_loss
from .dense import DenseOutputs
from .dense_postprocess import Candidates, DensePostprocessor, best_pairs, clip, rescale
from .guided_anchoring import GuideCriterion, ShapeCoder, kept_locations
from .matching import match


class GuidedRetinaCriterion:
    """The losses of the guide; focal loss of all anchors and smooth L1 of the positive ones' codes.

    Args:
        guide: of locations and shapes.
        assigner: anchors to targets.
        coder: encodes the targets.
        beta: turning point of smooth L1.
    """

    def __init__(self, *, guide: GuideCriterion, assigner: Assigner, coder: DeltaCoder, beta: float = 0.04) -> None:
        self.guide, self.assigner, self.coder, self.beta = guide, assigner, coder, beta

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        anchors = self.guide.coder.anchors(outputs.priors, outputs.extra["shape"].detach())  # (B, A, 4)
        matches = match(self.assigner, outputs, images, targets, anchors)
        positives = matches.count(len(targets))
        classification = sigmoid_focal_loss(outputs.logits.flatten(0, 1), matches.labels)
        codes = outputs.codes.flatten(0, 1)[matches.rows]
        goal = self.coder.encode(anchors.flatten(0, 1)[matches.rows], matches.boxes)
        return {
            "loss_class": matches.counted(classification) / positives,
            "loss_box": smooth_l1_loss(codes, goal, self.beta).sum() / positives,
            **self.guide(outputs, images, targets),
        }


class GuidedPostprocessor(DensePostprocessor):
    """The best `pre_nms` anchors of each level at likely locations, with all classes above the threshold.

    Args:
        shape_coder: of the anchors.
        location_threshold: least probability of a location.
        options: as of `DensePostprocessor`.
    """

    def __init__(self, *, shape_coder: ShapeCoder, location_threshold: float = 0.01, **options: Any) -> None:
        super().__init__(**options)
        self.shape_coder, self.location_threshold = shape_coder, location_threshold

    def candidates(self, outputs: DenseOutputs) -> Candidates:
        threshold = torch.logit(torch.tensor(self.score_threshold, dtype=torch.float64)).item()
        best = outputs.logits.amax(-1).masked_fill(~kept_locations(outputs, self.location_threshold), -torch.inf)
        image, prior, _, _ = best_pairs(best[..., None], outputs.level_sizes, threshold, self.pre_nms)
        logits = outputs.logits[image, prior]  # (K, C)
        row, label = (logits > threshold).nonzero(as_tuple=True)
        return Candidates(image[row], prior[row], label, logits[row, label].sigmoid())

    def boxes(self, outputs: DenseOutputs, found: Candidates, images: ImageList) -> Tensor:
        anchors = self.shape_coder.anchors(
            outputs.priors[found.prior], outputs.extra["shape"][found.image, found.prior]
        )
        boxes = self.coder.decode(anchors, outputs.codes[found.image, found.prior])
        return rescale(clip(boxes, found.image, images, self.coder.margin), found.image, images)
