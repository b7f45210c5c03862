"""CornerNet's losses (https://arxiv.org/abs/1808.01244, section 3.2 and 3.3): heat, offsets, embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ...structures import ImageList, Instances
from ..assigners.common import learnable
from ..losses import smooth_l1_loss
from .corner_net import CornerMaps, Corners
from .matching import last_of_each, require_labels

EPS = 1e-12


@dataclass(slots=True)
class CornerTargets:
    """What one kind of corners on a map of a batch is to learn, places in cells. N targets, P cells with a corner."""

    heat: Tensor  # (B, C, H, W)
    images: Tensor  # (N,)
    places: Tensor  # (N, 2) x y of the corners
    centres: Tensor  # (N, 2) x y of the boxes
    cells: Tensor  # (N, 2) x y, whole
    flat: Tensor  # (P,) cells in B * H * W
    rows: Tensor  # (P,) the target that counts at each of them, the last one

    def at_cells(self, maps: Tensor) -> Tensor:
        """Predictions (P, D) of maps (B, D, H, W)."""
        return maps.permute(0, 2, 3, 1).flatten(0, 2)[self.flat]

    def mean(self, loss: Tensor) -> Tensor:
        """A loss (P, D) per cell."""
        return loss.sum() / max(len(self.flat), 1)


def corner_targets(like: Tensor, images: ImageList, targets: list[Instances]) -> tuple[CornerTargets, CornerTargets]:
    """The targets of the top left and the bottom right corners on maps of the shape of `like` (B, C, H, W)."""
    counted = [(each.boxes[index], require_labels(each)[index]) for each in targets for index in [learnable(each)[1]]]
    labels = torch.cat([label for _, label in counted])
    image = torch.arange(len(targets), device=like.device).repeat_interleave(
        torch.tensor([len(label) for _, label in counted], device=like.device)
    )
    size = like.new_tensor([like.shape[3], like.shape[2]])
    ratio = size / like.new_tensor(images.padded_size[::-1])
    corners = torch.cat([boxes for boxes, _ in counted]).unflatten(1, (2, 2)) * ratio  # (N, 2, 2)
    radius = gaussian_radius((corners[:, 1] - corners[:, 0]).ceil())
    centres = corners.mean(1)
    kinds = []
    for places in corners.unbind(1):
        cells = torch.minimum(places, size - 1).long()
        channel = image * like.shape[1] + labels
        heat = draw_gaussians(like, channel, cells, radius)
        at = (image * like.shape[2] + cells[:, 1]) * like.shape[3] + cells[:, 0]
        flat, rows = last_of_each(at, like[:, 0].numel())
        kinds.append(CornerTargets(heat, image, places, centres, cells, flat, rows))
    return kinds[0], kinds[1]


def gaussian_radius(sizes: Tensor, least_iou: float = 0.3) -> Tensor:
    """Whole cells (N,) by which the corners of boxes of sizes (N, 2) may be off, so that their IoU stays.

    The least of three: both corners move along the same way, both inwards, both outwards.
    """
    total, area = sizes.double().sum(1), sizes.double().prod(1)
    shifted = (total - (total**2 - 4 * area * (1 - least_iou) / (1 + least_iou)).sqrt()) / 2
    inwards = (2 * total - (4 * total**2 - 16 * (1 - least_iou) * area).sqrt()) / 8
    b = -2 * least_iou * total
    outwards = (b + (b**2 + 16 * least_iou * (1 - least_iou) * area).sqrt()) / (8 * least_iou)
    return torch.stack((shifted, inwards, outwards)).amin(0).clamp(min=0).long()


def draw_gaussians(like: Tensor, channels: Tensor, cells: Tensor, radius: Tensor) -> Tensor:
    """Peaks of 1 at cells (N, 2) of channels (N,) in B * C, falling off within their radius (N,); the largest count."""
    height, width = like.shape[2:]
    deviation = (2 * radius + 1).to(like)[:, None] / 6

    def along(count: int, centre: Tensor) -> Tensor:
        away = torch.arange(count, device=like.device) - centre[:, None]  # (N, count)
        return (-away.square() / (2 * deviation.square())).exp() * (away.abs() <= radius[:, None])

    peaks = along(height, cells[:, 1])[:, :, None] * along(width, cells[:, 0])[:, None]  # (N, H, W)
    out = torch.zeros_like(like).flatten(0, 1).flatten(1)  # (B * C, H * W)
    return out.scatter_reduce_(0, channels[:, None].expand(-1, out.shape[1]), peaks.flatten(1), "amax").view_as(like)


def heat_loss(logits: Tensor, target: Tensor, alpha: float = 2.0, gamma: float = 4.0) -> Tensor:
    """Focal loss that is lenient about a peak, per peak (equation 1)."""
    scores, peak = logits.sigmoid(), target == 1
    positive = -(scores + EPS).log() * (1 - scores) ** alpha
    negative = -(1 - scores + EPS).log() * scores**alpha * (1 - target) ** gamma
    return torch.where(peak, positive, negative).sum() / peak.sum().clamp(min=1)


def offset_loss(offsets: Tensor, target: CornerTargets) -> Tensor:
    """Smooth L1 of where in its cell a corner is (equation 3)."""
    wanted = (target.places - target.cells)[target.rows]
    return target.mean(smooth_l1_loss(target.at_cells(offsets), wanted))


def embedding_losses(maps: Corners, targets: tuple[CornerTargets, CornerTargets]) -> tuple[Tensor, Tensor]:
    """How far the embeddings of a box's corners are apart, and how near those of different boxes; sums over images.

    Equations 4 and 5.
    """
    pull = push = sum(each["embedding"].sum() * 0 for each in maps)
    ends = torch.stack([embeddings_of(each, target) for each, target in zip(maps, targets)])  # (2, N)
    counts = torch.bincount(targets[0].images, minlength=len(maps.top_left["embedding"])).tolist()
    for pair in ends.split(counts, dim=1):
        count = pair.shape[1]
        mean = pair.mean(0)
        pull = pull + (pair - mean).square().sum() / max(count, 1)
        near = F.relu(1 - (mean[:, None] - mean).abs())
        push = push + (near.sum() - near.diagonal().sum()) / max(count * (count - 1), 1)
    return torch.as_tensor(pull), torch.as_tensor(push)


def embeddings_of(maps: CornerMaps, target: CornerTargets) -> Tensor:
    """The embedding of every target's corner, (N,)."""
    return maps["embedding"][target.images, 0, target.cells[:, 1], target.cells[:, 0]]


class MapCriterion(ABC):
    """Losses of both kinds of corners, summed over the maps."""

    def __call__(self, corners: list[Corners], images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        wanted = corner_targets(corners[-1].top_left["heat"], images, targets)
        levels = [self.level(each, wanted) for each in corners]
        return {name: torch.stack([level[name] for level in levels]).sum() for name in levels[0]}

    @abstractmethod
    def level(self, corners: Corners, targets: tuple[CornerTargets, CornerTargets]) -> dict[str, Tensor]:
        """The losses on one map."""


class CornerCriterion(MapCriterion):
    """Losses of heat, of offsets and of embeddings.

    Args:
        pull_weight, push_weight: of the losses of embeddings.
    """

    def __init__(self, *, pull_weight: float = 0.1, push_weight: float = 0.1) -> None:
        self.pull_weight, self.push_weight = pull_weight, push_weight

    def level(self, corners: Corners, targets: tuple[CornerTargets, CornerTargets]) -> dict[str, Tensor]:
        pull, push = embedding_losses(corners, targets)
        losses = place_losses(corners, targets)
        return {**losses, "loss_pull": self.pull_weight * pull, "loss_push": self.push_weight * push}


def place_losses(corners: Corners, targets: tuple[CornerTargets, CornerTargets]) -> dict[str, Tensor]:
    """The losses of heat and of offsets, the mean of both kinds of corners."""
    pairs = list(zip(corners, targets))
    heat, offset = (torch.stack(each).mean() for each in (
        [heat_loss(maps["heat"], target.heat) for maps, target in pairs],
        [offset_loss(maps["offset"], target) for maps, target in pairs],
    ))  # fmt: skip
    return {"loss_heat": heat, "loss_offset": offset}
