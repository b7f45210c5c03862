"""The second stage: from regions to detections (Fast R-CNN, https://arxiv.org/abs/1504.08083)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...structures import ImageList, Instances
from ..box_coders import DeltaCoder
from .box_head import BoxHead, PooledBoxHead
from .criterion import BoxCriterion
from .extractor import RoIExtractor, boxes_of
from .mask import MaskBranch
from .postprocess import BoxPostprocessor
from .sampling import RegionSampler


class RoIHead(nn.Module):
    """Classes, boxes and, with a mask branch, masks of regions. Regions are in pixels of the batch."""

    def __init__(
        self,
        *,
        extractor: RoIExtractor,
        box_head: BoxHead | PooledBoxHead,
        coder: DeltaCoder,
        postprocessor: BoxPostprocessor,
        sampler: RegionSampler,
        criterion: BoxCriterion,
        mask: MaskBranch | None = None,
    ) -> None:
        super().__init__()
        self.extractor, self.box_head, self.coder = extractor, box_head, coder
        self.postprocessor, self.sampler, self.criterion = postprocessor, sampler, criterion
        self.mask = mask

    def roi_features(self, features: Sequence[Tensor], regions: Sequence[Instances]) -> Tensor:
        """What the box head takes, (P, D, S, S), of all images' regions in order."""
        return self.extractor(features, boxes_of(regions))

    def detect(self, features: Sequence[Tensor], images: ImageList, proposals: Sequence[Instances]) -> list[Instances]:
        """The detections of each image among its proposals, in pixels of the original picture."""
        outputs = self.box_head(self.roi_features(features, proposals))
        detections = self.postprocessor(outputs, boxes_of(proposals), images, self.coder)
        return detections if self.mask is None else self.mask.detect(features, images, detections)

    def loss(
        self,
        features: Sequence[Tensor],
        images: ImageList,
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        sampled = [self.sampler(p, t, self.box_head.classes) for p, t in zip(proposals, targets)]
        outputs = self.box_head(self.extractor(features, [part.boxes for part in sampled]))
        losses = self.criterion(outputs, sampled, self.coder)
        if self.mask is not None:
            losses |= self.mask.loss(features, sampled, targets)
        return losses
