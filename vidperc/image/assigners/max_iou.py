"""Assignment by overlap (Faster R-CNN, https://arxiv.org/abs/1506.01497, section 3.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from ...ops.boxes import box_centres, pairwise_iou
from ...structures import Instances
from ..priors import GridAnchors
from .common import BACKGROUND, IGNORED, in_ignored_regions, learnable, require_levels, to_target_index

CHUNK = 20_000_000  # pairs of prior and target looked at at once (80 MB)


class MaxIoUAssigner:
    """A prior learns the target it overlaps most.

    Args:
        positive: least IoU to learn a target.
        negative: IoU below which a prior is background; between the two it is ignored.
        min_positive: a target's best priors learn it too when they overlap by at least this much.
        match_low_quality: whether they do.
        all_best: all equally good best priors of a target, else the first of them.
        ignored: part of its area in an ignored region from which a prior is ignored; None uses no regions.
    """

    def __init__(
        self,
        positive: float = 0.5,
        negative: float = 0.4,
        *,
        min_positive: float = 0.0,
        match_low_quality: bool = True,
        all_best: bool = True,
        ignored: float | None = None,
    ) -> None:
        self.positive, self.negative, self.min_positive = positive, negative, min_positive
        self.match_low_quality, self.all_best, self.ignored = match_low_quality, all_best, ignored

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        return self.assign(priors, targets, lambda boxes: pairwise_iou(priors, boxes))

    def assign(self, priors: Tensor, targets: Instances, overlaps: Callable[[Tensor], Tensor]) -> Tensor:
        """The assignment (A,) by any `overlaps` of the priors with boxes (n, 4), (A, n)."""
        boxes, index = learnable(targets)
        best_iou = priors.new_full((len(priors),), 0.0)
        best = torch.full((len(priors),), BACKGROUND, device=priors.device)
        low_quality = best.clone()
        size = max(CHUNK // max(len(priors), 1), 1)
        for start in range(0, len(boxes), size):
            iou = overlaps(boxes[start : start + size])  # (A, n)
            value, argument = iou.max(1)
            better = value > best_iou
            best_iou = torch.where(better, value, best_iou)
            best = torch.where(better, argument + start, best)
            if self.match_low_quality:
                self._best_priors(iou, start, low_quality)
        assigned = torch.where(best_iou < self.negative, BACKGROUND, IGNORED)
        assigned = torch.where((best_iou >= self.positive) & (best >= 0), best, assigned)
        assigned = torch.where(low_quality >= 0, low_quality, assigned)
        if self.ignored is not None:
            assigned = torch.where(in_ignored_regions(priors, targets, self.ignored), IGNORED, assigned)
        return to_target_index(assigned, index)

    def _best_priors(self, iou: Tensor, start: int, out: Tensor) -> None:
        """Write each target's best priors into `out` (A,); of several targets the last one stays."""
        most = iou.amax(0)  # (n,)
        fits = (most >= self.min_positive) & (most > 0)
        if self.all_best:
            prior, target = ((iou == most) & fits).nonzero(as_tuple=True)  # targets ascend within a prior
            out.scatter_reduce_(0, prior, target + start, "amax")
        else:
            target = fits.nonzero()[:, 0]
            out.scatter_reduce_(0, iou.argmax(0)[target], target + start, "amax")


class ApproxMaxIoUAssigner(MaxIoUAssigner):
    """As `MaxIoUAssigner`, the overlap of a prior being that of the best of several anchors at its place.

    So are shapes assigned that are not known yet (Guided Anchoring, https://arxiv.org/abs/1901.03278, section 3.5).
    Needs `predictions` for the sizes of the levels; there is one prior per location.

    Args:
        anchors: those of a location, by level.
        options: as of `MaxIoUAssigner`.
    """

    def __init__(self, anchors: GridAnchors, **options: Any) -> None:
        super().__init__(**options)
        self.anchors = anchors

    def __call__(self, priors: Tensor, targets: Instances, predictions: Any = None) -> Tensor:
        sizes = require_levels(predictions)
        centres = box_centres(priors).repeat(1, 2)
        moved = [
            base.to(priors.device)[:, None] + place  # (K, a, 4)
            for base, place in zip(self.anchors.base_anchors, centres.split(sizes), strict=True)
        ]
        anchors = torch.cat(moved, dim=1)  # (K, A, 4)
        return self.assign(
            priors, targets, lambda boxes: reduce(torch.maximum, (pairwise_iou(each, boxes) for each in anchors))
        )
