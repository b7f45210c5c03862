"""GRoIE (https://arxiv.org/abs/2004.13665): features of a region from all levels of the pyramid."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ...layers.conv import ConvNorm, init_kaiming
from ...ops.roi_align import roi_align
from ..backbones.empirical_attention import DistanceAttention
from .extractor import to_rois


class AllLevelsRoIExtractor(nn.Module):
    """A region is taken from every level, convolved, summed, and attends to itself.

    Args:
        output_size: side of the result.
        channels: of the levels.
        strides: of the levels that are used, finest first.
        sampling_ratio: sampled points per bin and axis.
        kernel_size: of the convolution, the same for all levels.
        heads: of the attention.
    """

    def __init__(
        self,
        output_size: int = 7,
        *,
        channels: int = 256,
        strides: Sequence[float] = (4, 8, 16, 32),
        sampling_ratio: int = 2,
        kernel_size: int = 5,
        heads: int = 6,
    ) -> None:
        super().__init__()
        self.output_size, self.strides, self.sampling_ratio = output_size, tuple(strides), sampling_ratio
        self.pre_module = ConvNorm(channels, channels, kernel_size, padding=kernel_size // 2)
        self.post_module = DistanceAttention(channels, heads=heads)
        init_kaiming(self.pre_module)

    def forward(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Features (P, D, output_size, output_size) of the boxes (P_b, 4) of each image, in their order."""
        rois = to_rois(boxes)
        levels = [
            self.pre_module(roi_align(feature, rois, self.output_size, 1 / stride, self.sampling_ratio))
            for feature, stride in zip(features, self.strides)
        ]
        return self.post_module(sum(levels[1:], levels[0]))  # type: ignore[no-any-return]
