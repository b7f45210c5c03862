"""Cascade RPN (https://arxiv.org/abs/1909.06720): one anchor per location, refined, then features that fit it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.deform_conv import OffsetConv
from ...ops.boxes import box_centres
from ...structures import ImageList, Instances
from ..assigners import BACKGROUND
from ..assigners.common import last_true, learnable, to_target_index
from ..box_coders import DeltaCoder
from ..priors import GridAnchors
from ..regression import BoxRegression
from .dense import full_precision
from .guided_anchoring import CELLS_PER_OBJECT, in_region, levels_of
from .rpn import ProposalHead, ProposalSelector, RPNCriterion, RPNOutputs

Levels = list[Tensor]


class DilatedStage(nn.Module):
    """The first stage: a dilated convolution, whose features the second begins with, and the anchors' boxes."""

    def __init__(self, in_channels: int = 256, channels: int = 256) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=3, dilation=3)
        self.reg = nn.Conv2d(channels, 4, 1)
        small(self)

    def forward(self, features: Sequence[Tensor]) -> tuple[Levels, Levels]:
        """Features and codes (B, A, 4) of each level."""
        bridged = [F.relu(self.conv(x), inplace=True) for x in features]
        return bridged, [flat(self.reg(x)) for x in bridged]


class AdaptiveStage(nn.Module):
    """The second stage: a convolution that samples its anchor evenly, then score and box."""

    def __init__(self, in_channels: int = 256, channels: int = 256) -> None:
        super().__init__()
        self.conv = OffsetConv(in_channels, channels)
        self.cls = nn.Conv2d(channels, 1, 1)
        self.reg = nn.Conv2d(channels, 4, 1)
        small(self)

    def forward(
        self, features: Sequence[Tensor], anchors: Sequence[Tensor], strides: Sequence[float]
    ) -> tuple[Levels, Levels]:
        """Logits (B, A) and codes (B, A, 4) of each level, with anchors (B, A, 4)."""
        logits, codes = [], []
        for x, boxes, stride in zip(features, anchors, strides, strict=True):
            x = F.relu(self.conv(x, sampling_offsets(boxes, stride, x.shape[-2:])), inplace=True)
            logits.append(flat(self.cls(x))[..., 0])
            codes.append(flat(self.reg(x)))
        return logits, codes


def small(module: nn.Module) -> None:
    """Small normal weights and zero biases."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=0.01)
            nn.init.zeros_(part.bias)  # type: ignore[arg-type]


def flat(maps: Tensor) -> Tensor:
    """Maps (B, D, H, W) as (B, H * W, D) in float32."""
    return maps.flatten(2).transpose(1, 2).float()


def sampling_offsets(anchors: Tensor, stride: float, size: Sequence[int]) -> Tensor:
    """From where a 3x3 convolution looks to a grid over its anchor, (B, 18, H, W), y and x in turn (equation 6).

    Args:
        anchors: (B, H * W, 4), one per location.
        stride: pixels between locations.
        size: H, W.
    """
    height, width = size
    cells = anchors / stride
    rows, columns = (torch.arange(n, dtype=cells.dtype, device=cells.device) for n in (height, width))
    location = torch.stack((columns.repeat(height), rows.repeat_interleave(width)), dim=-1)
    away = (box_centres(cells) - location)[:, :, None]  # (B, A, 1, 2)
    spread = ((cells[..., 2:] - cells[..., :2]) / 2 - 1)[:, :, None]  # beyond the distance of one cell
    step = torch.arange(-1, 2, dtype=cells.dtype, device=cells.device)
    taps = torch.stack((step.repeat(3), step.repeat_interleave(3)), dim=-1)  # (9, 2)
    offsets = (away + spread * taps).flip(-1)  # (B, A, 9, 2)
    return offsets.flatten(2).transpose(1, 2).unflatten(2, (height, width))


class RegionAssigner:
    """Cells in the middle of a target, on the level of its size, learn it.

    A cell is not told of a target when a later one lies around it.

    Args:
        scale: sides of the anchors in strides.
        middle, around: parts of a target's sides.
    """

    def __init__(self, scale: float = 8.0, middle: float = 0.2, around: float = 0.5) -> None:
        self.scale, self.middle, self.around = scale, middle, around

    def __call__(self, grid: Sequence[Tensor], targets: Instances) -> Tensor:
        """The index of the target of each square anchor of the levels, `BACKGROUND` for none; (A,)."""
        boxes, index = learnable(targets)
        if len(boxes) == 0:
            return torch.full((sum(len(part) for part in grid),), BACKGROUND, device=targets.boxes.device)
        own = levels_of(boxes, grid[0][0], len(grid))
        assigned = []
        for level, squares in enumerate(grid):
            stride = (squares[0, 2] - squares[0, 0]) / self.scale
            cells = (box_centres(squares) / stride).round()
            inner = in_region(cells, boxes / stride, self.middle)
            last = last_true((in_region(cells, boxes / stride, self.around) | inner) & (own == level))
            learns = inner.gather(1, last.clamp(min=0)[:, None])[:, 0] & (last >= 0)
            assigned.append(torch.where(learns, last, BACKGROUND))
        return to_target_index(torch.cat(assigned), index)


class CascadeRPNHead(ProposalHead):
    """Regions in two stages: anchors are refined, then scored and refined once more.

    Args:
        anchors: square ones, one per location.
        assigner: of the grid, for the first stage.
        coders: of the stages.
        regression: of the first stage.
        criterion: of the second stage.
        select: of regions, at inference and in training.
        loss_weight: of all losses.
    """

    def __init__(
        self,
        *,
        first: DilatedStage,
        second: AdaptiveStage,
        anchors: GridAnchors,
        assigner: RegionAssigner,
        coders: tuple[DeltaCoder, DeltaCoder],
        regression: BoxRegression,
        criterion: RPNCriterion,
        select: ProposalSelector,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.anchors, self.assigner, self.coders = anchors, assigner, coders
        self.regression, self.criterion = regression, criterion
        self.select, self.loss_weight = select, loss_weight

    def forward(self, features: Sequence[Tensor], images: ImageList) -> tuple[Tensor, RPNOutputs]:
        """The codes of the first stage (B, A, 4), and what the second says of the refined anchors."""
        grid = self.anchors([(x.shape[-2], x.shape[-1]) for x in features], features[0].device)
        bridged, codes = self.first(features)
        refined = self.refine(torch.cat(grid), torch.cat(codes, 1).detach(), images)
        anchors = list(refined.split([len(level) for level in grid], 1))
        logits, last = self.second(bridged, anchors, self.anchors.strides)
        return torch.cat(codes, 1), RPNOutputs(logits, last, anchors, grid)

    def refine(self, grid: Tensor, codes: Tensor, images: ImageList) -> Tensor:
        """The anchors (B, A, 4) of the second stage, within their images."""
        return torch.stack([self.coders[0].decode(grid, codes[i], size) for i, size in enumerate(images.sizes)])

    def propose(self, features: Sequence[Tensor], images: ImageList) -> list[Instances]:
        _, outputs = self(features, images)
        return self.select(outputs, images, self.coders[1])

    def loss(
        self, features: Sequence[Tensor], images: ImageList, targets: list[Instances]
    ) -> tuple[dict[str, Tensor], list[Instances]]:
        codes, outputs = self(features, images)
        with full_precision(codes):
            losses = {
                "loss_rpn_first_box": self.first_loss(codes, outputs.grid, targets),
                **self.criterion(outputs, images, targets, self.coders[1]),
            }
            with torch.no_grad():
                proposals = self.select(outputs, images, self.coders[1])
        return {name: value * self.loss_weight for name, value in losses.items()}, proposals

    def first_loss(self, codes: Tensor, grid: list[Tensor], targets: list[Instances]) -> Tensor:
        """The loss of the boxes of the anchors that learn, over a two-hundredth of all anchors."""
        loss, anchors = codes.sum() * 0, torch.cat(grid)
        for each, target in zip(codes, targets, strict=True):
            assigned = self.assigner(grid, target)
            row = (assigned >= 0).nonzero()[:, 0]
            boxes = target.boxes[assigned[row]]
            loss = loss + self.regression(self.coders[0], anchors[row], each[row], boxes).sum()
        return loss / (codes.shape[0] * codes.shape[1] / CELLS_PER_OBJECT)
