"""Guided Anchoring as region proposal network (https://arxiv.org/abs/1901.03278)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...structures import ImageList, Instances
from ..box_coders import DeltaCoder
from .dense import DenseOutputs, Priors, collect, full_precision
from .guided_anchoring import GuideCriterion, GuidedRPNPredictor, kept_locations
from .rpn import ProposalHead, ProposalSelector, RPNCriterion, RPNOutputs


class GuidedRPNHead(ProposalHead):
    """Regions from anchors that are predicted, at inference at likely locations only.

    Args:
        squares: one per location.
        guide: losses of locations and shapes; its coder is that of the shapes.
        coder, criterion: of the regions.
        select: of regions at inference.
        select_training: of the regions that a second stage learns from.
        location_threshold: least probability of a location.
    """

    def __init__(
        self,
        *,
        predictor: GuidedRPNPredictor,
        squares: Priors,
        guide: GuideCriterion,
        coder: DeltaCoder,
        criterion: RPNCriterion,
        select: ProposalSelector,
        select_training: ProposalSelector,
        location_threshold: float = 0.01,
    ) -> None:
        super().__init__()
        self.predictor, self.squares, self.guide = predictor, squares, guide
        self.coder, self.criterion = coder, criterion
        self.select, self.select_training = select, select_training
        self.location_threshold = location_threshold

    def forward(self, features: Sequence[Tensor]) -> DenseOutputs:
        return collect(self.predictor(features), self.squares)

    def propose(self, features: Sequence[Tensor], images: ImageList) -> list[Instances]:
        outputs = self(features)
        with full_precision(outputs.logits):
            kept = kept_locations(outputs, self.location_threshold)
            outputs.logits = outputs.logits.masked_fill(~kept[..., None], -torch.inf)
            regions = self.select(self.by_level(outputs), images, self.coder)
        return [part[part.scores > 0] for part in regions]  # type: ignore[operator]

    def loss(
        self, features: Sequence[Tensor], images: ImageList, targets: list[Instances]
    ) -> tuple[dict[str, Tensor], list[Instances]]:
        outputs = self(features)
        with full_precision(outputs.logits):
            levels = self.by_level(outputs)
            guide = self.guide(outputs, images, targets)
            losses = self.criterion(levels, images, targets, self.coder)
            losses |= {name.replace("loss_", "loss_rpn_"): value for name, value in guide.items()}
            with torch.no_grad():
                proposals = self.select_training(levels, images, self.coder)
        return losses, proposals

    def by_level(self, outputs: DenseOutputs) -> RPNOutputs:
        """The outputs with the anchors that they speak of."""
        anchors = self.guide.coder.anchors(outputs.priors, outputs.extra["shape"].detach())
        sizes = outputs.level_sizes
        return RPNOutputs(
            logits=list(outputs.logits[..., 0].split(sizes, 1)),
            codes=list(outputs.codes.split(sizes, 1)),
            anchors=list(anchors.split(sizes, 1)),
            grid=list(outputs.priors.split(sizes)),
        )
