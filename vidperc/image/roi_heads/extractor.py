"""Features of regions: RoIAlign (https://arxiv.org/abs/1703.06870) on the level that fits a region's size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...ops.roi_align import gathers, roi_align, roi_align_into
from ...structures import Instances


class RoIExtractor:
    """Regions to features of a fixed size, each from one level of the pyramid.

    Args:
        output_size: side of the result.
        strides: of the levels that are used, finest first; further maps are left aside.
        sampling_ratio: sampled points per bin and axis; 0 takes as many as there are pixels.
        finest_scale: regions with a side below twice this go to the finest level, then every doubling
            to the next (FPN, https://arxiv.org/abs/1612.03144, equation 1).
        aligned: pixels' values are those at their centres; False as before 2020, at their upper left corners.
    """

    def __init__(
        self,
        output_size: int = 7,
        strides: Sequence[float] = (4, 8, 16, 32),
        *,
        sampling_ratio: int = 0,
        finest_scale: float = 56.0,
        aligned: bool = True,
    ) -> None:
        self.output_size, self.strides = output_size, tuple(strides)
        self.sampling_ratio, self.finest_scale, self.aligned = sampling_ratio, finest_scale, aligned

    def __call__(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Features (P, D, output_size, output_size) of the boxes (P_b, 4) of each image, in their order."""
        rois = to_rois(boxes)  # (P, 5)
        if len(self.strides) == 1:
            return self._align(features[0], rois, self.strides[0])
        levels = self.levels_of(rois[:, 1:])
        if len(rois) and gathers(features[0]):
            return self._gather(features, rois, levels)
        out: Tensor | None = None
        for level, stride in enumerate(self.strides):
            index = (levels == level).nonzero(as_tuple=True)[0]
            if len(index):
                part = self._align(features[level], rois[index], stride)
                if out is None:
                    out = part.new_zeros(len(rois), *part.shape[1:])
                out = out.index_copy(0, index, part)
        return self._align(features[0], rois, self.strides[0]) if out is None else out

    def _gather(self, features: Sequence[Tensor], rois: Tensor, levels: Tensor) -> Tensor:
        """The levels' results written where they belong, without copies."""
        out = features[0].new_empty(len(rois), self.output_size, self.output_size, features[0].shape[1])
        for level, stride in enumerate(self.strides):
            index = (levels == level).nonzero(as_tuple=True)[0]
            if len(index):
                roi_align_into(out, index, features[level], rois[index], 1 / stride, self.sampling_ratio, self.aligned)
        return out.permute(0, 3, 1, 2)

    def levels_of(self, boxes: Tensor) -> Tensor:
        """The level (P,) of each box (P, 4)."""
        width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
        scale = (width * height).sqrt()
        levels = torch.floor(torch.log2(scale / self.finest_scale + 1e-6))
        return levels.clamp(0, len(self.strides) - 1).long()

    def _align(self, feature: Tensor, rois: Tensor, stride: float) -> Tensor:
        return roi_align(feature, rois, self.output_size, 1 / stride, self.sampling_ratio, self.aligned)


def to_rois(boxes: Sequence[Tensor]) -> Tensor:
    """Boxes (P_b, 4) of each image as (P, 5): image, x1, y1, x2, y2."""
    index = torch.cat([box.new_full((len(box), 1), i) for i, box in enumerate(boxes)])
    return torch.cat([index, torch.cat(list(boxes))], dim=1)


def boxes_of(instances: Sequence[Instances]) -> list[Tensor]:
    """The boxes of each image."""
    return [part.boxes for part in instances]
