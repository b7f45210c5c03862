"""Grid R-CNN (https://arxiv.org/abs/1811.12030): a box is found by nine points of a grid instead of codes.

With the sub-regions, the sampling and the shared depth-wise grouping of Grid R-CNN Plus
(https://arxiv.org/abs/1906.05688). Points are numbered column by column: 0, 1, 2 are the left side from above.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_kaiming
from ...structures import ImageList, Instances
from ..losses.classification import binary_cross_entropy, cross_entropy
from ..postprocess import multiclass_nms
from .extractor import RoIExtractor, boxes_of
from .sampling import RegionSampler, SampledRegions

SIDE = 3  # points along a side of the grid
POINTS = SIDE**2


class ClassHead(nn.Module):
    """Hidden layers from a region's features to its class alone."""

    def __init__(
        self, in_channels: int = 256, *, classes: int = 80, roi_size: int = 7, hidden: int = 1024, fcs: int = 2
    ) -> None:
        super().__init__()
        self.classes = classes
        features = in_channels * roi_size**2
        self.shared_fcs = nn.ModuleList(nn.Linear(hidden if i else features, hidden) for i in range(fcs))
        self.fc_cls = nn.Linear(hidden, classes + 1)
        for layer in self.shared_fcs:
            nn.init.xavier_uniform_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.fc_cls.weight, std=0.01)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, regions: Tensor) -> Tensor:
        """Logits (P, C + 1), background last, of regions (P, D, S, S)."""
        x = regions.flatten(1)
        for layer in self.shared_fcs:
            x = F.relu(layer(x), inplace=True)
        return self.fc_cls(x).float()  # type: ignore[no-any-return]


def neighbours(point: int) -> list[int]:
    """The points beside one: to its left, above, below, to its right."""
    column, row = divmod(point, SIDE)
    around = [(column - 1, row), (column, row - 1), (column, row + 1), (column + 1, row)]
    return [x * SIDE + y for x, y in around if 0 <= x < SIDE and 0 <= y < SIDE]


class GridHead(nn.Module):
    """A heat map of every point, from its own features and those of its neighbours and their neighbours.

    A map of each point covers half of the width and of the height of the region's surroundings, where it must lie.

    Args:
        in_channels, roi_size: of the regions' features.
        channels: of each point.
        groups: of the normalisation of all points' channels together.
    """

    def __init__(
        self, in_channels: int = 256, *, roi_size: int = 14, convs: int = 8, channels: int = 64, groups: int = 36
    ) -> None:
        super().__init__()
        every = channels * POINTS
        self.map_size = 2 * roi_size
        self.convs = nn.ModuleList(
            conv_group_norm(every if i else in_channels, every, 1 if i else 2, groups) for i in range(convs)
        )
        self.forder_trans, self.sorder_trans = transitions(channels), transitions(channels)
        self.deconv1 = nn.ConvTranspose2d(every, every, 4, 2, padding=1, groups=POINTS)
        self.norm1 = nn.GroupNorm(POINTS, every)
        self.deconv2 = nn.ConvTranspose2d(every, POINTS, 4, 2, padding=1, groups=POINTS)
        init_kaiming(self)
        for layer in (self.deconv1, self.deconv2):
            nn.init.normal_(layer.weight, std=0.001)
        nn.init.constant_(self.deconv2.bias, -math.log(99))  # type: ignore[arg-type]  # a score of 0.01

    def features(self, regions: Tensor) -> Tensor:
        """Of all points (P, 9 * D, S / 2, S / 2), each by itself, from regions (P, D, S, S)."""
        for conv in self.convs:
            regions = conv(regions)
        return regions

    def fused(self, features: Tensor) -> Tensor:
        """The same with what the points within two steps see."""
        own = features.chunk(POINTS, dim=1)
        once = add_neighbours(own, own, self.forder_trans)
        return torch.cat(add_neighbours(own, once, self.sorder_trans), dim=1)

    def maps(self, features: Tensor) -> Tensor:
        """Logits (P, 9, M, M) from the features of all points."""
        x = F.relu(self.norm1(self.deconv1(features)), inplace=True)
        return self.deconv2(x).float()  # type: ignore[no-any-return]

    def forward(self, regions: Tensor) -> Tensor:
        """Logits (P, 9, M, M) of where each point is."""
        return self.maps(self.fused(self.features(regions)))


def conv_group_norm(in_channels: int, out_channels: int, stride: int, groups: int) -> ConvNorm:
    """A 3x3 convolution with a bias and a group normalisation of so many groups."""
    layer = ConvNorm(in_channels, out_channels, 3, stride=stride, padding=1)
    layer.norm = nn.GroupNorm(groups, out_channels)
    return layer


def transitions(channels: int) -> nn.ModuleList:
    """For every point and each of its neighbours, a large depth-wise and a 1x1 convolution."""
    return nn.ModuleList(
        nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 5, padding=2, groups=channels), nn.Conv2d(channels, channels, 1)
            )
            for _ in neighbours(point)
        )
        for point in range(POINTS)
    )


def add_neighbours(own: Sequence[Tensor], seen: Sequence[Tensor], layers: nn.ModuleList) -> list[Tensor]:
    """Of each point its own features and what its neighbours have seen, changed."""
    out = []
    for point, x in enumerate(own):
        for layer, neighbour in zip(layers[point], neighbours(point)):  # type: ignore[call-overload]
            x = x + layer(seen[neighbour])
        out.append(x)
    return out


class GridCriterion:
    """Cross entropy of all pixels of the maps; those within a pixel of the truth shall be 1.

    Args:
        weight: of the loss.
        radius: around the truth, in pixels of the map.
    """

    def __init__(self, weight: float = 15.0, radius: int = 1) -> None:
        self.weight, self.radius = weight, radius

    def __call__(self, maps: Tensor, truth: Tensor) -> Tensor:
        """Of logits (P, 9, M, M) and a truth of the same shape; 0 of none."""
        return self.weight * binary_cross_entropy(maps, truth).sum() / max(truth.numel(), 1)

    def targets(self, boxes: Tensor, truth: Tensor, size: int) -> Tensor:
        """The maps (P, 9, size, size) to learn for boxes (P, 4) whose targets are `truth` (P, 4).

        Boxes with a side of at most one and a half pixels have none.
        """
        low, extent = surroundings(boxes)
        share = torch.tensor([divmod(point, SIDE) for point in range(POINTS)], device=boxes.device) / (SIDE - 1)
        points = (1 - share) * truth[:, None, :2] + share * truth[:, None, 2:]  # (P, 9, 2)
        centre = ((points - low[:, None]) / extent[:, None] * (2 * size)).long() - corners(size, boxes.device)
        pixels = torch.arange(size, device=boxes.device)
        away = (pixels - centre[..., None]).square()  # (P, 9, 2, size)
        near = away[:, :, 1, :, None] + away[:, :, 0, None, :] <= self.radius**2
        return (near & (extent > SIDE).all(1)[:, None, None, None]).to(boxes.dtype)


def surroundings(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Corner and sides, (P, 2) each, of regions that reach over boxes (P, 4) by half of their sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] - sides / 2, 2 * sides


def corners(size: int, device: torch.device) -> Tensor:
    """Where in the surroundings' map, of sides 2 * size, the map of each point begins, (9, 2)."""
    start = torch.tensor([0, size // 2, size], device=device)
    return torch.stack(torch.meshgrid(start, start, indexing="ij"), dim=-1).view(POINTS, 2)


def boxes_from_maps(boxes: Tensor, scores: Tensor) -> Tensor:
    """Boxes (P, 4) whose sides are voted for by their three points, from scores (P, 9, M, M) around boxes (P, 4)."""
    size = scores.shape[-1]
    best, place = scores.flatten(2).max(-1)  # (P, 9)
    pixel = torch.stack([place % size, place // size], dim=-1) + corners(size, boxes.device)
    sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
    points = (pixel + 0.5) / size * sides + surroundings(boxes)[0][:, None]  # (P, 9, 2)
    points, best = points.unflatten(1, (SIDE, SIDE)), best.unflatten(1, (SIDE, SIDE))  # by column and row

    x, y = points.unbind(-1)
    edges = [(x[:, 0], best[:, 0]), (y[:, :, 0], best[:, :, 0]), (x[:, -1], best[:, -1]), (y[:, :, -1], best[:, :, -1])]
    return torch.stack([(place * score).sum(1) / score.sum(1) for place, score in edges], dim=1)


class GridRoIHead(nn.Module):
    """Classes of regions, and boxes of the detections by the points of a grid.

    Args:
        extractor, class_head: for the classes.
        grid_extractor, grid_head: for the boxes.
        sampler, criterion: as training has them; at most `training_regions` positive ones learn the grid, each moved
            at random by up to `jitter` of its sides.
        score_threshold, iou_threshold, max_detections: of the regions, before their boxes are found.
    """

    def __init__(
        self,
        *,
        extractor: RoIExtractor,
        class_head: ClassHead,
        grid_extractor: RoIExtractor,
        grid_head: GridHead,
        sampler: RegionSampler,
        criterion: GridCriterion,
        training_regions: int = 192,
        jitter: float = 0.15,
        score_threshold: float = 0.03,
        iou_threshold: float = 0.3,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        self.extractor, self.class_head = extractor, class_head
        self.grid_extractor, self.grid_head = grid_extractor, grid_head
        self.sampler, self.criterion = sampler, criterion
        self.training_regions, self.jitter = training_regions, jitter
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.max_detections = max_detections

    def detect(self, features: Sequence[Tensor], images: ImageList, proposals: Sequence[Instances]) -> list[Instances]:
        """The detections of each image among its proposals, in pixels of the original picture."""
        logits = self.class_head(self.extractor(features, boxes_of(proposals)))
        scores = logits.softmax(-1)[:, :-1].split([len(part) for part in proposals])
        found = [
            multiclass_nms(
                part.boxes,
                score,
                score_threshold=self.score_threshold,
                iou_threshold=self.iou_threshold,
                max_detections=self.max_detections,
            )
            for part, score in zip(proposals, scores)
        ]
        boxes = boxes_of(found)
        maps = self.grid_head(self.grid_extractor(features, boxes)).sigmoid()
        parts = boxes_from_maps(torch.cat(boxes), maps).split([len(part) for part in found])
        return [
            part.replace(boxes=box / box.new_tensor(images.scales[i] * 2))
            for i, (part, box) in enumerate(zip(found, parts))
        ]

    def loss(
        self,
        features: Sequence[Tensor],
        images: ImageList,
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        sampled = [self.sampler(p, t, self.class_head.classes) for p, t in zip(proposals, targets)]
        logits = self.class_head(self.extractor(features, [part.boxes for part in sampled]))
        labels = torch.cat([part.labels for part in sampled])
        boxes, truth = self.grid_regions(sampled, images)
        x = self.grid_head.features(self.grid_extractor(features, boxes))
        wanted = self.criterion.targets(torch.cat(boxes), truth, self.grid_head.map_size)
        maps = (self.grid_head.maps(self.grid_head.fused(x)), self.grid_head.maps(x))
        return {
            "loss_class": cross_entropy(logits, labels).sum() / max(len(labels), 1),
            "loss_grid": sum(self.criterion(part, wanted) for part in maps),  # type: ignore[dict-item]
        }

    def grid_regions(self, sampled: Sequence[SampledRegions], images: ImageList) -> tuple[list[Tensor], Tensor]:
        """The regions of each image that learn the grid, moved, and all of their targets (P, 4)."""
        counts = [part.positives for part in sampled]
        total = sum(counts)
        chosen = torch.zeros(total, dtype=torch.bool, device=sampled[0].boxes.device)
        chosen[torch.randperm(total, device=chosen.device)[: self.training_regions]] = True
        boxes, truth = [], []
        for part, keep, size in zip(sampled, chosen.split(counts), images.sizes):
            boxes.append(jittered(part.boxes[: part.positives][keep], self.jitter, size))
            truth.append(part.target_boxes[keep])
        return boxes, torch.cat(truth)


def jittered(boxes: Tensor, amplitude: float, size: tuple[int, int]) -> Tensor:
    """Boxes (P, 4) whose centres and sides are changed by up to a part of the sides, within an image's pixels."""
    drawn = torch.empty_like(boxes).uniform_(-amplitude, amplitude)
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centres, sides = centres + sides * drawn[:, :2], sides * (1 + drawn[:, 2:])
    last = boxes.new_tensor([size[1] - 1, size[0] - 1] * 2)
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=1).clamp(min=0).minimum(last)
