"""CentripetalNet (https://arxiv.org/abs/2003.09119): corners belong together that point to one centre."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...layers.conv import ConvNorm
from ...layers.deform_conv import OffsetConv
from ..losses import smooth_l1_loss
from .corner_criterion import CornerTargets, MapCriterion, place_losses
from .corner_net import CornerMaps, CornerPool, Corners, initialise, prediction
from .corner_postprocess import BestCorners, CornerPostprocessor, Grid, gather

LARGE = 3500.0  # pixels of area, from which on the central part of a box is larger
MEDIUM_SIDE, LARGE_SIDE = 1 / 2.4, 1 / 2.1  # of the central part, in sides of the box


class CentripetalBranch(nn.Module):
    """One kind of corners on one map: heat, offset, and the shift to the centre in two steps (section 3.3).

    The guiding shift, in cells, says where the deformable convolution looks that the centripetal shift, in
    logarithms of cells, comes from.

    Args:
        in_channels: of the map.
        classes: C.
        reverse: as `CornerPool`.
    """

    def __init__(self, *, in_channels: int, classes: int, reverse: bool) -> None:
        super().__init__()
        self.pool = CornerPool(in_channels, reverse=reverse)
        self.heat = prediction(in_channels, classes)
        self.off = prediction(in_channels, 2)
        self.guiding_shift = prediction(in_channels, 2)
        self.dcn_offset = ConvNorm(2, 18, 1, bias=False, relu=False)
        self.feat_adaption = OffsetConv(in_channels, in_channels)
        self.centripetal_shift = prediction(in_channels, 2)
        initialise(self, self.heat, self.off)
        nn.init.normal_(self.dcn_offset.conv.weight, std=0.1)  # type: ignore[arg-type]
        for part in (*self.guiding_shift, *self.centripetal_shift):
            part.conv.reset_parameters()  # type: ignore[union-attr, operator]

    def forward(self, x: Tensor) -> CornerMaps:
        pooled = self.pool(x)
        guide = self.guiding_shift(pooled)
        adapted = self.feat_adaption(pooled, self.dcn_offset(guide.detach()))
        return {
            "heat": self.heat(pooled),
            "offset": self.off(pooled),
            "guide": guide,
            "shift": self.centripetal_shift(adapted),
        }


class CentripetalCriterion(MapCriterion):
    """Losses of heat, of offsets and of both shifts.

    Args:
        guide_weight, shift_weight: of the losses of shifts.
    """

    def __init__(self, *, guide_weight: float = 0.05, shift_weight: float = 1.0) -> None:
        self.guide_weight, self.shift_weight = guide_weight, shift_weight

    def level(self, corners: Corners, targets: tuple[CornerTargets, CornerTargets]) -> dict[str, Tensor]:
        kinds = list(zip(corners, targets, (1, -1)))  # to the right and down, to the left and up
        guide = [shift_loss(m["guide"], t, sign * (t.centres - t.cells)) for m, t, sign in kinds]
        shift = [shift_loss(m["shift"], t, (sign * (t.centres - t.places)).log()) for m, t, sign in kinds]
        losses = place_losses(corners, targets)
        return {
            **losses,
            "loss_guide": self.guide_weight * torch.stack(guide).mean(),
            "loss_shift": self.shift_weight * torch.stack(shift).mean(),
        }


def shift_loss(maps: Tensor, target: CornerTargets, wanted: Tensor) -> Tensor:
    """Smooth L1 of maps (B, 2, H, W) in the corners' cells, against wanted values (N, 2) of all targets."""
    return target.mean(smooth_l1_loss(target.at_cells(maps), wanted[target.rows]))


class CentripetalPostprocessor(CornerPostprocessor):
    """Pairs of corners of the same class whose shifts end near each other in the middle of the box (section 3.2).

    Args:
        distance: greatest area between the two ends, in areas of the box's central part.
    """

    def belong(self, corners: Corners, first: BestCorners, second: BestCorners, grid: Grid) -> Tensor:
        one, two = (gather(m["shift"], best.cells).exp() for m, best in zip(corners, (first, second)))  # (B, K, 2)
        start, end = grid.pixels(first.places + one)[:, :, None], grid.pixels(second.places - two)[:, None]
        low, high = grid.pixels(first.places)[:, :, None], grid.pixels(second.places)[:, None]
        sides = high - low  # (B, K, K, 2)
        part = torch.where(area(sides) > LARGE, LARGE_SIDE, MEDIUM_SIDE)[..., None]
        middle, half = (low + high) / 2, part * sides / 2
        inside = (start > middle - half) & (start < middle + half) & (end > middle - half) & (end < middle + half)
        return inside.all(-1) & (area(end - start) <= self.distance * area(2 * half))


def area(sides: Tensor) -> Tensor:
    """Of sides (..., 2) of either sign."""
    return sides.prod(-1).abs()
