"""Recursive feature pyramid (DetectoRS, https://arxiv.org/abs/2006.02334, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .fpn import FPN


class RFP(FPN):
    """A pyramid that a second backbone takes with it when it looks at the image again, and whose maps it renews.

    Args:
        in_channels, out_channels, levels: as `FPN`'s.
        backbone: takes the image and guides, as `GuidedResNet`.
        hidden: channels of each branch that a guide is made of; `backbone` takes four times as many.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        levels: int = 5,
        *,
        backbone: nn.Module,
        hidden: int = 64,
    ) -> None:
        super().__init__(in_channels, out_channels, levels)
        self.rfp_modules = nn.ModuleList([backbone])
        self.rfp_aspp = ASPP(out_channels, hidden)
        self.rfp_weight = nn.Conv2d(out_channels, 1, 1)
        nn.init.zeros_(self.rfp_weight.weight)
        nn.init.zeros_(self.rfp_weight.bias)  # type: ignore[arg-type]

    @property
    def backbones(self) -> list[nn.Module]:
        """Networks that begin with a backbone's weights."""
        return list(self.rfp_modules)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The levels, of the image (B, 3, H, W) and the backbone's maps."""
        image, *maps = features
        before = super().forward(maps)
        guides = [self.rfp_aspp(x) for x in before[1 : len(maps)]]
        after = super().forward(self.rfp_modules[0](image, guides))
        return [self.mix(old, new) for old, new in zip(before, after)]

    def mix(self, old: Tensor, new: Tensor) -> Tensor:
        """Of a level the renewed map as far as it asks for it, pixel by pixel (section 3.3)."""
        weight = self.rfp_weight(new).sigmoid()
        return weight * new + (1 - weight) * old


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a pixel, its surroundings near and far, and the whole picture (section 3.2)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.aspp = nn.ModuleList(
            [
                nn.Conv2d(in_channels, channels, 1),
                nn.Conv2d(in_channels, channels, 3, padding=3, dilation=3),
                nn.Conv2d(in_channels, channels, 3, padding=6, dilation=6),
                nn.Conv2d(in_channels, channels, 1),
            ]
        )
        for conv in self.aspp:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, H, W) to (B, 4 * channels, H, W)."""
        *near, whole = self.aspp
        parts = [conv(x) for conv in near]
        parts.append(whole(x.mean((2, 3), keepdim=True)).expand_as(parts[0]))
        return F.relu(torch.cat(parts, dim=1), inplace=True)
