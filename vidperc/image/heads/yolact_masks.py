"""YOLACT's masks (https://arxiv.org/abs/1904.02689, section 3): prototypes, their sums within boxes, their losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import init_xavier
from ...structures import ImageList, Instances
from ..assigners.common import learnable
from .matching import Matches, require_labels


class Protonet(nn.Module):
    """The finest map (B, D, H, W) to prototypes (B, K, 2 H, 2 W), none of which is negative.

    Args:
        in_channels: of the map.
        channels: of the convolutions before.
        prototypes: K.
    """

    def __init__(self, in_channels: int = 256, channels: int = 256, prototypes: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(in_channels, channels, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU(inplace=True)),
            *(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(channels, prototypes, 1), nn.ReLU(inplace=True)),
        )
        init_xavier(self)

    def forward(self, x: Tensor) -> Tensor:
        prototypes: Tensor = self.layers(x)
        return prototypes


class SemanticBranch(nn.Conv2d):
    """The finest map to logits of every class, (B, C, H, W)."""

    def __init__(self, in_channels: int = 256, classes: int = 80) -> None:
        super().__init__(in_channels, classes, 1)
        init_xavier(self)


def mask_scores(prototypes: Tensor, coefficients: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Scores (N, h, w) of masks, 0 beyond their boxes.

    Args:
        prototypes: (K, h, w) of the whole picture.
        coefficients: (N, K).
        boxes: (N, 4) in pixels.
        size: (height, width) of the picture that the prototypes cover.
    """
    scores = torch.einsum("nk,khw->nhw", coefficients, prototypes).sigmoid()
    return scores * within(boxes, size, prototypes.shape[1:])


def within(boxes: Tensor, size: tuple[int, int], cells: tuple[int, ...]) -> Tensor:
    """Which cells (h, w) of a picture of `size` lie in boxes (N, 4) or less than a cell beside them, (N, h, w) bool."""
    x, y = (
        (at >= low[:, None]) & (at < high[:, None])
        for at, low, high in (cell_range(boxes[:, axis::2], size[1 - axis], cells[1 - axis]) for axis in (0, 1))
    )
    return y[:, :, None] & x[:, None]


def cell_range(ends: Tensor, side: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """All `count` cells along a side, and the first and last, with a margin of one, between ends (N, 2) in pixels."""
    low, high = ends[:, 0] / side * count, ends[:, 1] / side * count
    return torch.arange(count, device=ends.device), torch.minimum(low, high) - 1, torch.maximum(low, high) + 1


def draw_masks(
    prototypes: Tensor, coefficients: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float = 0.5
) -> Tensor:
    """The masks (N, H, W) of boxes (N, 4) in a picture of `size`, by bilinear interpolation of their scores.

    Interpolated is only about each box, one matrix per axis.
    """
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool, device=boxes.device)
    scores = mask_scores(prototypes, coefficients, boxes, size)
    rows, columns = (interpolation(cells, side, boxes) for cells, side in zip(scores.shape[1:], size))
    margins = [2.5 * side / cells for side, cells in zip(size, scores.shape[1:])]  # beyond the margin's last cell
    for mask, score, (x1, y1, x2, y2) in zip(masks, scores, boxes.nan_to_num().tolist()):
        x = slice(max(math.floor(x1 - margins[1]), 0), min(math.ceil(x2 + margins[1]), size[1]))
        y = slice(max(math.floor(y1 - margins[0]), 0), min(math.ceil(y2 + margins[0]), size[0]))
        mask[y, x] = rows[y] @ score @ columns[x].T > threshold
    return masks


def interpolation(cells: int, side: int, like: Tensor) -> Tensor:
    """Weights (side, cells) by which pixels take the values of cells, the outermost beyond their centres, too."""
    centres = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) * (cells / side) - 0.5
    distance = (centres.clamp(0, cells - 1)[:, None] - torch.arange(cells, device=like.device)).abs()
    return (1 - distance).clamp(min=0)


class MaskLoss:
    """Cross entropy of the positive anchors' masks, every mask by the share of the picture that its box takes.

    Args:
        weight: of the loss.
        most: masks of an image that are looked at, drawn at random.
    """

    def __init__(self, weight: float = 6.125, most: int = 100) -> None:
        self.weight, self.most = weight, most

    def __call__(
        self, prototypes: Tensor, coefficients: Tensor, matches: Matches, images: ImageList, targets: list[Instances]
    ) -> Tensor:
        """The mean over the masks of a batch.

        Args:
            prototypes: (B, K, h, w).
            coefficients: (P, K) of the positive anchors.
        """
        losses, seen, first = prototypes.sum() * 0 + coefficients.sum() * 0, 0, 0
        for i, each in enumerate(targets):
            row = (matches.images == i).nonzero()[:, 0]
            row = row[torch.randperm(len(row), device=row.device)[: self.most]] if len(row) > self.most else row
            truth = small_masks(each, images.padded_size, prototypes.shape[2:])[matches.targets[row] - first]
            losses = losses + self.image(prototypes[i], coefficients[row], matches.boxes[row], truth, images)
            seen, first = seen + len(row), first + len(each)
        return self.weight * losses / max(seen, 1)

    @staticmethod
    def image(prototypes: Tensor, coefficients: Tensor, boxes: Tensor, truth: Tensor, images: ImageList) -> Tensor:
        """The sum over the masks of one image."""
        height, width = images.padded_size
        scores = mask_scores(prototypes, coefficients, boxes, (height, width)).clamp(0, 1)
        loss = F.binary_cross_entropy(scores, truth, reduction="none").mean((1, 2))
        share = (boxes[:, 2] - boxes[:, 0]) / width * ((boxes[:, 3] - boxes[:, 1]) / height)
        return (loss / share).sum()


def small_masks(targets: Instances, size: tuple[int, int], cells: tuple[int, ...]) -> Tensor:
    """The targets' masks in cells (h, w) of a padded picture of `size`, (N, h, w) of 0 and 1.

    Raises:
        ValueError: targets without masks.
    """
    if len(targets) == 0:
        return targets.boxes.new_zeros(0, *cells)
    if targets.masks is None:
        raise ValueError("targets have boxes but no masks to learn")
    height, width = targets.masks.shape[1:]
    masks = F.pad(targets.masks.float(), (0, size[1] - width, 0, size[0] - height))
    return (F.interpolate(masks[None], size=cells, mode="bilinear")[0] > 0.5).float()


def semantic_loss(logits: Tensor, images: ImageList, targets: list[Instances]) -> Tensor:
    """Cross entropy of the segmentation (B, C, H, W) of the images with objects, per cell of the whole batch.

    The channels of the published networks are those of the class after: the last one is the first class's.
    """
    classes, cells = logits.shape[1], logits.shape[2:]
    loss = logits.sum() * 0
    for prediction, each in zip(logits, targets):
        counted = each[learnable(each)[1]]
        if len(counted):
            truth = torch.zeros_like(prediction)
            channel = (require_labels(counted) - 1) % classes
            truth.index_add_(0, channel, small_masks(counted, images.padded_size, cells))
            target = truth.clamp(max=1)
            loss = loss + F.binary_cross_entropy_with_logits(prediction, target, reduction="sum")
    return loss / (len(logits) * cells.numel())
