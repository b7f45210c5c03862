"""Balanced feature pyramid (Libra R-CNN, https://arxiv.org/abs/1904.02701, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm


class BalancedPyramid(nn.Module):
    """All levels averaged at one resolution, refined by a non-local block and added to every level.

    Args:
        channels: of all maps.
        refine_level: whose resolution the mean has.
    """

    def __init__(self, channels: int = 256, *, refine_level: int = 2) -> None:
        super().__init__()
        self.refine_level = refine_level
        self.refine = NonLocalBlock(channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        size = (features[self.refine_level].shape[2], features[self.refine_level].shape[3])
        mean = sum(resize(x, size, shrinks=i < self.refine_level) for i, x in enumerate(features)) / len(features)
        mean = self.refine(mean)
        return [
            x + resize(mean, (x.shape[2], x.shape[3]), shrinks=i >= self.refine_level) for i, x in enumerate(features)
        ]


def resize(x: Tensor, size: tuple[int, int], *, shrinks: bool) -> Tensor:
    """A map in another size: its maxima where it shrinks, else its nearest values."""
    return F.adaptive_max_pool2d(x, size) if shrinks else F.interpolate(x, size=size)


class NonLocalBlock(nn.Module):
    """Every pixel plus what it gathers from all others (embedded Gaussian; https://arxiv.org/abs/1711.07971).

    The products of queries and keys are not scaled.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g, self.conv_out = (ConvNorm(channels, channels, 1, relu=False) for _ in range(4))
        for layer in (self.theta, self.phi, self.g):
            nn.init.normal_(layer.conv.weight, std=0.01)  # type: ignore[arg-type]
        nn.init.zeros_(self.conv_out.conv.weight)  # type: ignore[arg-type]
        for layer in (self.theta, self.phi, self.g, self.conv_out):
            nn.init.zeros_(layer.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (layer(x).flatten(2).transpose(1, 2) for layer in (self.theta, self.phi, self.g))
        gathered = F.scaled_dot_product_attention(queries, keys, values, scale=1.0)  # (B, H * W, D)
        return x + self.conv_out(gathered.transpose(1, 2).unflatten(2, x.shape[2:]))
