"""PointRend (https://arxiv.org/abs/1912.08193): a coarse mask, then finer ones, decided anew where they are unsure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm, init_kaiming
from ...structures import ImageList, Instances
from .mask import MaskBranch, batch_boxes, labels_of, mask_loss, mask_targets, masks_of, positives_of, with_masks
from .sampling import SampledRegions


class PointRoIExtractor:
    """Regions of one map by a single bilinear sample at the centre of each bin; 0 beyond the map."""

    def __init__(self, output_size: int = 14, stride: float = 4) -> None:
        self.output_size, self.stride = output_size, stride

    def __call__(self, features: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Features (P, D, S, S) of the boxes (P_b, 4) of each image, in their order."""
        size = self.output_size
        centres = (torch.arange(size, device=features[0].device) + 0.5) / size
        grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1).view(1, -1, 2)  # (1, S * S, 2)
        values = self.at(features, boxes, grid.expand(sum(len(part) for part in boxes), -1, -1))
        return values.unflatten(-1, (size, size))

    def at(self, features: Sequence[Tensor], boxes: Sequence[Tensor], points: Tensor) -> Tensor:
        """Values (P, D, N) at points (P, N, 2), x and y in parts of their boxes."""
        feature = features[0]
        extent = feature.new_tensor(feature.shape[:-3:-1]) * self.stride  # (2,) of the map, in pixels of the batch
        parts = points.split([len(part) for part in boxes])
        grids = [2 * places(box, part) / extent - 1 for box, part in zip(boxes, parts)]
        values = [F.grid_sample(feature[i : i + 1], grid[None], align_corners=False)[0] for i, grid in enumerate(grids)]
        return torch.cat(values, dim=1).transpose(0, 1)


class CoarseMaskHead(nn.Module):
    """A convolution that halves the size and hidden layers; a mask of every class (section 4.1)."""

    def __init__(
        self,
        in_channels: int = 256,
        *,
        classes: int = 80,
        roi_size: int = 14,
        channels: int = 256,
        hidden: int = 1024,
        fcs: int = 2,
    ) -> None:
        super().__init__()
        self.shape = (classes, roi_size // 2, roi_size // 2)
        self.downsample_conv = ConvNorm(in_channels, channels, 2, stride=2)
        features = channels * (roi_size // 2) ** 2
        self.fcs = nn.ModuleList(nn.Linear(hidden if i else features, hidden) for i in range(fcs))
        self.fc_logits = nn.Linear(hidden, classes * (roi_size // 2) ** 2)
        init_kaiming(self)
        for layer in self.fcs:
            nn.init.xavier_normal_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.fc_logits.weight, 0.001)
        nn.init.zeros_(self.fc_logits.bias)

    def forward(self, regions: Tensor) -> Tensor:
        """Logits (P, C, S / 2, S / 2) of regions (P, D, S, S)."""
        x = self.downsample_conv(regions).flatten(1)
        for layer in self.fcs:
            x = F.relu(layer(x), inplace=True)
        return self.fc_logits(x).float().unflatten(1, self.shape)  # type: ignore[no-any-return]


class PointHead(nn.Module):
    """A small network on each point's fine features, which sees the coarse logits again in every layer."""

    def __init__(self, in_channels: int = 256, *, classes: int = 80, channels: int = 256, fcs: int = 3) -> None:
        super().__init__()
        self.fcs = nn.ModuleList(
            ConvNorm((channels if i else in_channels) + classes, channels, 1, make_conv=nn.Conv1d) for i in range(fcs)
        )
        self.fc_logits = nn.Conv1d(channels + classes, classes, 1)
        init_kaiming(self)
        nn.init.normal_(self.fc_logits.weight, std=0.001)

    def forward(self, fine: Tensor, coarse: Tensor, labels: Tensor) -> Tensor:
        """Logits (P, N) of the regions' classes (P,) from fine features (P, D, N) and coarse logits (P, C, N)."""
        coarse = coarse.to(fine.dtype)
        x = torch.cat([fine, coarse], dim=1)
        for layer in self.fcs:
            x = torch.cat([layer(x), coarse], dim=1)
        weight, bias = self.fc_logits.weight[:, :, 0], self.fc_logits.bias  # only the class is computed
        return torch.einsum("pdn,pd->pn", x, weight[labels].to(x.dtype)).float() + bias[labels, None].float()  # type: ignore[index]


class PointRendBranch(MaskBranch):
    """A mask for every detection, coarse first.

    Args:
        point_head: decides points.
        subdivisions: how often the size is doubled.
        points: how many of the least certain points are decided anew after each.
        training_points: of each region.
        oversampling: so many times as many are drawn, from which the least certain are chosen.
        uncertain_share: of the training points that are chosen so; the others are anywhere.
        options: as `MaskBranch`; its one head is a `CoarseMaskHead`, its extractor a `PointRoIExtractor`.
    """

    def __init__(
        self,
        *,
        point_head: PointHead,
        subdivisions: int = 5,
        points: int = 28 * 28,
        training_points: int = 14 * 14,
        oversampling: int = 3,
        uncertain_share: float = 0.75,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.point_head, self.subdivisions, self.points = point_head, subdivisions, points
        self.training_points, self.oversampling = training_points, oversampling
        self.uncertain_share = uncertain_share

    def detect(self, features: Sequence[Tensor], images: ImageList, detections: Sequence[Instances]) -> list[Instances]:
        boxes, labels = batch_boxes(detections, images), labels_of(detections)
        coarse = self.heads[0](self.extractor(features, boxes))
        logits = self.refine(features, boxes, coarse, labels)
        return with_masks(detections, logits.sigmoid(), images, self.threshold)

    def refine(self, features: Sequence[Tensor], boxes: Sequence[Tensor], coarse: Tensor, labels: Tensor) -> Tensor:
        """Logits (P, M, M) of the regions' classes, M the coarse size doubled `subdivisions` times."""
        logits = logits_of(coarse, labels)[:, None]
        for step in range(1, self.subdivisions + 1):
            logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
            size = logits.shape[-1]
            # Where all points of the next size are decided anew, deciding these would be in vain.
            if 4 * size**2 <= self.points and step < self.subdivisions:
                continue
            index = logits.abs().flatten(1).topk(min(self.points, size**2), largest=False)[1]  # (P, N)
            points = (torch.stack([index % size, index // size], dim=-1) + 0.5) / size
            decided = self.point_logits(features, boxes, coarse, points, labels)
            logits = logits.flatten(1).scatter(1, index, decided).view_as(logits)
        return logits[:, 0]

    def point_logits(
        self, features: Sequence[Tensor], boxes: Sequence[Tensor], coarse: Tensor, points: Tensor, labels: Tensor
    ) -> Tensor:
        """Logits (P, N) at points (P, N, 2), x and y in parts of their regions."""
        fine = self.extractor.at(features, boxes, points)  # type: ignore[attr-defined]
        return self.point_head(fine, at_points(coarse, points), labels)  # type: ignore[no-any-return]

    def loss(
        self,
        features: Sequence[Tensor],
        sampled: Sequence[SampledRegions],
        targets: Sequence[Instances],
        stage: int = 0,
    ) -> dict[str, Tensor]:
        """Cross entropy of the coarse masks and of the points."""
        boxes, labels = positives_of(sampled)
        coarse = self.heads[0](self.extractor(features, boxes))
        logits = logits_of(coarse, labels)
        truth = mask_targets(sampled, targets, logits.shape[-1])
        points = self.draw_points(logits.detach())
        decided = self.point_logits(features, boxes, coarse, points, labels)
        return {
            "loss_mask": mask_loss(logits, truth),
            "loss_point": mask_loss(decided, point_targets(sampled, targets, points)),
        }

    def draw_points(self, logits: Tensor) -> Tensor:
        """Points (P, N, 2) to learn from, most of them where coarse logits (P, S, S) are near 0 (section 3.3)."""
        uncertain = int(self.uncertain_share * self.training_points)
        anywhere = torch.rand(len(logits), self.training_points * self.oversampling, 2, device=logits.device)
        certainty = at_points(logits[:, None], anywhere)[:, 0].abs()
        index = certainty.topk(uncertain, dim=1, largest=False)[1]
        chosen = anywhere.gather(1, index[..., None].expand(-1, -1, 2))
        others = torch.rand(len(logits), self.training_points - uncertain, 2, device=logits.device)
        return torch.cat([chosen, others], dim=1)


def logits_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Those (P, S, S) of each region's class among (P, C, S, S)."""
    return logits[torch.arange(len(labels), device=labels.device), labels]


def places(boxes: Tensor, points: Tensor) -> Tensor:
    """Points (P, N, 2), x and y in parts of boxes (P, 4), in the boxes' pixels."""
    return boxes[:, None, :2] + points * (boxes[:, None, 2:] - boxes[:, None, :2])


def at_points(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values (P, C, N) of maps (P, C, S, S) at points (P, N, 2) in parts of them; 0 beyond."""
    return F.grid_sample(maps, 2 * points[:, :, None] - 1, align_corners=False)[..., 0]


def point_targets(sampled: Sequence[SampledRegions], targets: Sequence[Instances], points: Tensor) -> Tensor:
    """The targets' masks at points (P, N, 2) in parts of the positive regions of all images, (P, N) from 0 to 1."""
    parts = points.split([part.positives for part in sampled])
    return torch.cat([point_targets_of(part, truth, own) for part, truth, own in zip(sampled, targets, parts)])


def point_targets_of(sampled: SampledRegions, targets: Instances, points: Tensor) -> Tensor:
    """The same of one image."""
    if sampled.positives == 0:
        return points.new_zeros(points.shape[:2])
    masks = masks_of(targets)
    _, height, width = masks.shape
    position = places(sampled.boxes[: sampled.positives], points) - 0.5  # in pixels, 0 at the centre of the first
    low = position.floor()
    share = position - low  # (S+, N, 2)
    x, y = low.long().unbind(-1)
    value = torch.zeros_like(share[..., 0])
    for right in (0, 1):
        for below in (0, 1):
            column, row = x + right, y + below
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weight = (share[..., 0] if right else 1 - share[..., 0]) * (share[..., 1] if below else 1 - share[..., 1])
            pixel = masks[sampled.matched[:, None], row.clamp(0, height - 1), column.clamp(0, width - 1)]
            value += weight * (pixel & inside)
    return value
