"""Dynamic R-CNN (https://arxiv.org/abs/2004.06002): what counts as a match grows stricter as the proposals improve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...ops.boxes import pairwise_iou
from ...structures import ImageList, Instances
from ..assigners import MaxIoUAssigner
from ..assigners.common import learnable
from ..box_coders import DeltaCoder
from ..losses.regression import smooth_l1_loss
from ..regression import CodeRegression
from .roi_head import RoIHead
from .sampling import RegionSampler, SampledRegions


class DynamicRoIHead(RoIHead):
    """A second stage whose IoU threshold and turning point of the smooth L1 loss follow the statistics of training.

    The threshold becomes the mean over `interval` steps of an image's `iou_rank`-th best proposal's IoU (section 3.3),
    the turning point the median of the `beta_rank`-th smallest error per image that is left to learn (section 3.4).
    At inference it is a `RoIHead`.

    Args:
        iou_threshold: until the first change.
        least_iou: the threshold goes no lower.
        most_beta: the turning point goes no higher; it begins there.
        parts: as `RoIHead`'s; of the sampler the assigner, and of the criterion the regression are set anew.
    """

    iou_threshold: Tensor
    beta: Tensor
    ious: Tensor
    errors: Tensor
    steps: Tensor

    def __init__(
        self,
        *,
        iou_threshold: float = 0.5,
        iou_rank: int = 75,
        beta_rank: int = 10,
        interval: int = 100,
        least_iou: float = 0.4,
        most_beta: float = 1.0,
        **parts: Any,
    ) -> None:
        super().__init__(**parts)
        self.iou_rank, self.beta_rank, self.interval = iou_rank, beta_rank, interval
        self.least_iou, self.most_beta = least_iou, most_beta
        self.register_buffer("iou_threshold", torch.tensor(iou_threshold, dtype=torch.float64), persistent=False)
        self.register_buffer("beta", torch.tensor(most_beta, dtype=torch.float64), persistent=False)
        self.register_buffer("ious", torch.zeros(interval), persistent=False)
        self.register_buffer("errors", torch.full((interval,), torch.nan), persistent=False)  # NaN: none in that step
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64), persistent=False)

    def loss(
        self,
        features: Sequence[Tensor],
        images: ImageList,
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        sampler = replace(self.sampler, assigner=assigner_at(self.iou_threshold.item()))
        criterion = replace(self.criterion, regression=regression_at(self.beta.item()))
        sampled = [sampler(p, t, self.box_head.classes) for p, t in zip(proposals, targets)]
        outputs = self.box_head(self.extractor(features, [part.boxes for part in sampled]))
        losses = criterion(outputs, sampled, self.coder)
        if self.mask is not None:
            losses |= self.mask.loss(features, sampled, targets)
        self.note(proposals, targets, sampled)
        return losses

    @torch.no_grad()
    def note(
        self, proposals: Sequence[Instances], targets: Sequence[Instances], sampled: Sequence[SampledRegions]
    ) -> None:
        """Keep the statistics of a step; every `interval` steps they change the two numbers."""
        row = self.steps % self.interval
        ious = [ranked_iou(p, t, self.iou_rank, self.sampler) for p, t in zip(proposals, targets)]
        self.ious[row] = torch.stack(ious).mean()
        self.errors[row] = ranked_error(sampled, self.coder, self.beta_rank)
        self.steps += 1
        if self.steps % self.interval == 0:
            self.iou_threshold.copy_(self.ious.double().mean().clamp(min=self.least_iou))
            median = self.errors.double().nanquantile(0.5)
            if median >= 1e-15:  # not where there is none
                self.beta.copy_(median.clamp(max=self.most_beta))


def assigner_at(threshold: float) -> MaxIoUAssigner:
    """A match is an IoU of at least `threshold`, all else background."""
    return MaxIoUAssigner(threshold, threshold, min_positive=threshold, match_low_quality=False)


def regression_at(beta: float) -> CodeRegression:
    """Smooth L1 of the codes that turns at `beta`."""
    return CodeRegression(partial(smooth_l1_loss, beta=beta))


def ranked_iou(proposals: Instances, targets: Instances, rank: int, sampler: RegionSampler) -> Tensor:
    """The `rank`-th largest of the proposals' best IoUs, the targets themselves counted where they are sampled."""
    truth = learnable(targets)[0]
    best = proposals.boxes.new_zeros(len(proposals))
    if len(truth):
        best = pairwise_iou(proposals.boxes, truth).amax(1)
    if sampler.add_targets:
        best = torch.cat([best.new_ones(len(truth)), best])
    return best.topk(min(rank, len(best))).values[-1] if len(best) else best.new_zeros(())


def ranked_error(sampled: Sequence[SampledRegions], coder: DeltaCoder, rank: int) -> Tensor:
    """The `rank` * B-th smallest mean code of a positive region's centre, NaN where none is positive."""
    boxes = torch.cat([part.boxes[: part.positives] for part in sampled])
    truth = torch.cat([part.target_boxes for part in sampled])
    if len(boxes) == 0:
        return boxes.new_tensor(torch.nan)
    errors = coder.encode(boxes, truth)[:, :2].abs().mean(1)
    return errors.kthvalue(min(rank * len(sampled), len(errors))).values
