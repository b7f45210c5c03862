"""Cross-correlation of feature maps."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def depthwise_correlation(features: Tensor, kernels: Tensor) -> Tensor:
    """Slide each image's own kernel over its features, channel by channel, without padding.

    Args:
        features: (B, D, H, W).
        kernels: (B, D, h, w), or (1, D, h, w) for one kernel for all.

    Returns:
        (B, D, H - h + 1, W - w + 1).

    Raises:
        ValueError: shapes that do not go together.
    """
    count, channels, height, width = features.shape
    if kernels.shape[0] not in (1, count) or kernels.shape[1] != channels:
        raise ValueError(f"kernels {tuple(kernels.shape)} do not fit features {tuple(features.shape)}")
    if kernels.shape[2] > height or kernels.shape[3] > width:
        raise ValueError(f"kernels {tuple(kernels.shape)} are larger than the features {tuple(features.shape)}")
    if len(kernels) == 1:
        return F.conv2d(features, kernels.permute(1, 0, 2, 3), groups=channels)
    flat = features.reshape(1, count * channels, height, width)
    weight = kernels.reshape(count * channels, 1, *kernels.shape[2:])
    out = F.conv2d(flat, weight, groups=count * channels)
    return out.reshape(count, channels, *out.shape[2:])
