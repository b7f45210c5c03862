"""CornerNet's decision (https://arxiv.org/abs/1808.01244, section 4.2): pairs of the best corners, soft suppression."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ...ops.boxes import pairwise_iou
from ...structures import ImageList, Instances
from ..preprocess_centred import border
from .corner_net import CornerMaps, Corners


class BestCorners(NamedTuple):
    """The K best corners of one kind in each image, their places in cells."""

    places: Tensor  # (B, K, 2) x y
    scores: Tensor  # (B, K)
    labels: Tensor  # (B, K)
    cells: Tensor  # (B, K) index in H * W


class Grid(NamedTuple):
    """From cells of a map to pixels of the resized pictures, which lie in the middle of the batch."""

    stride: Tensor  # (2,)
    corner: Tensor  # (B, 1, 2) x y of the pictures in the batch

    def pixels(self, places: Tensor) -> Tensor:
        """Places (B, K, 2) in pixels, not less than 0."""
        return (places * self.stride - self.corner).clamp(min=0)


class CornerPostprocessor:
    """Pairs of corners of the same class whose embeddings are close.

    Args:
        corners: K, best ones of each kind.
        kernel: side of the windows in which a corner has the largest score.
        distance: greatest distance of embeddings.
        pairs: best ones that are suppressed together.
        sigma: of the soft suppression.
        least: score below which a suppressed box is dropped.
        max_detections: kept of each image.
    """

    def __init__(
        self,
        *,
        corners: int = 100,
        kernel: int = 3,
        distance: float = 0.5,
        pairs: int = 1000,
        sigma: float = 0.5,
        least: float = 1e-3,
        max_detections: int = 100,
    ) -> None:
        self.corners, self.kernel, self.distance, self.most_pairs = corners, kernel, distance, pairs
        self.sigma, self.least, self.max_detections = sigma, least, max_detections

    def pairs(self, corners: Corners, images: ImageList) -> list[Instances]:
        """The boxes (in pixels of the resized pictures) of each image, best first."""
        first, second = (self.best(maps) for maps in corners)
        grid = self.grid(corners, images)
        low, high = grid.pixels(first.places)[:, :, None], grid.pixels(second.places)[:, None]  # (B, K, 1, 2) ...
        scores = (first.scores[:, :, None] + second.scores[:, None]) / 2  # (B, K, K)
        valid = (first.labels[:, :, None] == second.labels[:, None]) & (high > low).all(-1)
        valid &= self.belong(corners, first, second, grid)
        scores = scores.masked_fill(~valid, -1).flatten(1)
        boxes = torch.cat((low.expand(*valid.shape, 2), high.expand(*valid.shape, 2)), dim=-1).flatten(1, 2)
        labels = first.labels[:, :, None].expand_as(valid).flatten(1)
        best = scores.topk(min(self.most_pairs, scores.shape[1]))
        found = []
        for values, rows, box, label in zip(best.values, best.indices, boxes, labels):
            rows = rows[values > 0]
            found.append(Instances(boxes=box[rows], labels=label[rows], scores=values[values > 0]))
        return found

    def best(self, maps: CornerMaps) -> BestCorners:
        """The best corners that are the best ones of their neighbourhood."""
        heat = maps["heat"].sigmoid()
        peaks = heat * (F.max_pool2d(heat, self.kernel, 1, self.kernel // 2) == heat)
        cells, width = heat.shape[2] * heat.shape[3], heat.shape[3]
        scores, index = peaks.flatten(1).topk(min(self.corners, peaks[0].numel()))
        label, cell = index // cells, index % cells
        place = torch.stack((cell % width, cell // width), dim=-1) + gather(maps["offset"], cell)
        return BestCorners(place, scores, label, cell)

    @staticmethod
    def grid(corners: Corners, images: ImageList) -> Grid:
        heat, (height, width) = corners.top_left["heat"], images.padded_size
        stride = heat.new_tensor([width / heat.shape[3], height / heat.shape[2]])
        borders = [border(size, (height, width))[::-1] for size in images.sizes]
        return Grid(stride, heat.new_tensor(borders)[:, None])

    def belong(self, corners: Corners, first: BestCorners, second: BestCorners, grid: Grid) -> Tensor:
        """Which pairs may be of one object, (B, K, K) bool."""
        one, two = (gather(m["embedding"], best.cells) for m, best in zip(corners, (first, second)))  # (B, K, 1)
        return (one - two.transpose(1, 2)).abs() <= self.distance

    def suppress(self, candidates: Instances) -> Instances:
        """The detections among boxes, best first; overlapping ones of a class lose score (https://arxiv.org/abs/1704.04503)."""
        assert candidates.scores is not None and candidates.labels is not None
        boxes, labels, left = candidates.boxes, candidates.labels, candidates.scores.clone()
        rows, scores = [], []
        for _ in range(min(self.max_detections, len(left))):  # each takes the best one of what the others have left
            row = left.argmax(keepdim=True)
            rows.append(row)
            scores.append(left[row])
            decay = (-pairwise_iou(boxes[row], boxes)[0].square() / self.sigma).exp()
            left = torch.where(labels == labels[row], left * decay, left)
            left = left.masked_fill(left < self.least, 0).index_fill(0, row, 0)
        if not rows:
            return candidates
        row, score = torch.cat(rows), torch.cat(scores)
        return candidates[row].replace(scores=score)[score > 0]


def gather(maps: Tensor, cells: Tensor) -> Tensor:
    """Values (B, K, D) of maps (B, D, H, W) at cells (B, K)."""
    flat = maps.flatten(2)
    return flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)
