"""SSD (https://arxiv.org/abs/1512.02325): one convolution per level, softmax, hard negatives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...structures import ImageList, Instances
from ..assigners import Assigner
from ..box_coders import DeltaCoder
from ..losses import cross_entropy, smooth_l1_loss
from ..priors import GridAnchors
from .dense import DenseOutputs, LevelMaps
from .dense_postprocess import Candidates, DensePostprocessor, best_pairs
from .matching import Matches, match_everywhere, mean_over_processes

Ratios = Sequence[Sequence[float]]


class SSDPredictor(nn.Module):
    """Logits of every class and of background, the last, and box codes, by a convolution of each level's own.

    Args:
        classes: C.
        in_channels: of each level.
        anchors: per location of each level.
    """

    def __init__(self, *, classes: int, in_channels: Sequence[int], anchors: Sequence[int]) -> None:
        super().__init__()

        def convs(codes: int) -> nn.ModuleList:
            # a Sequential of one, as published checkpoints name the tensors
            return nn.ModuleList(
                nn.Sequential(nn.Conv2d(width, count * codes, 3, padding=1))
                for width, count in zip(in_channels, anchors)
            )

        self.cls_convs, self.reg_convs = convs(classes + 1), convs(4)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> list[LevelMaps]:
        return [{"logits": cls(x), "codes": reg(x)} for cls, reg, x in zip(self.cls_convs, self.reg_convs, features)]


class SSDAnchors(GridAnchors):
    """Anchors of sizes spread evenly over the levels: ratio 1 in two sizes, then the other ratios and their inverse.

    Args:
        strides: by level.
        ratios: by level, beside 1.
        input_size: of the image, in pixels.
        first: smallest and largest size on the first level, in parts of `input_size`.
        rest: the range of smallest sizes on the others.
    """

    def __init__(
        self,
        strides: Sequence[float],
        ratios: Ratios,
        *,
        input_size: int = 300,
        first: tuple[float, float] = (0.07, 0.15),
        rest: tuple[float, float] = (0.15, 0.9),
    ) -> None:
        sizes = ssd_sizes(len(strides), input_size, first, rest)
        base = [self.boxes(stride, *size, level) for stride, size, level in zip(strides, sizes, ratios)]
        super().__init__(strides, base)

    def boxes(self, stride: float, small: int, large: int, ratios: Sequence[float]) -> Tensor:
        """The anchors (A, 4) of a location."""
        half = ssd_shapes(small, large, ratios) / 2
        return torch.cat((stride / 2 - half, stride / 2 + half), dim=1)


class LegacySSDAnchors(SSDAnchors):
    """As `SSDAnchors`, with the whole-pixel corners of checkpoints from before 2020."""

    def boxes(self, stride: float, small: int, large: int, ratios: Sequence[float]) -> Tensor:
        half, centre = (ssd_shapes(small, large, ratios) - 1) / 2, (stride - 1) / 2
        return torch.cat((centre - half, centre + half), dim=1).round()


def ssd_sizes(
    levels: int, input_size: int, first: tuple[float, float], rest: tuple[float, float]
) -> list[tuple[int, int]]:
    """Smallest and largest size of each level, in pixels. Percents are whole, as in the published networks."""
    low, high = round(rest[0] * 100), round(rest[1] * 100)
    step = (high - low) // (levels - 2)
    percents = [(round(first[0] * 100), round(first[1] * 100))]
    percents += [(percent, percent + step) for percent in range(low, high + 1, step)]
    return [(input_size * small // 100, input_size * large // 100) for small, large in percents]


def ssd_shapes(small: int, large: int, ratios: Sequence[float]) -> Tensor:
    """Widths and heights (A, 2)."""
    heights = torch.tensor([1.0, *(r for ratio in ratios for r in (1 / ratio, ratio))]).sqrt()
    shapes = small * torch.stack((1 / heights, heights), dim=-1)
    middle = small * torch.full((1, 2), math.sqrt(large / small))
    return torch.cat((shapes[:1], middle, shapes[1:]))


class SSDCriterion:
    """Softmax loss of the positive anchors and of the worst negative ones, smooth L1 of the positive codes.

    Args:
        assigner: anchors to targets.
        coder: encodes the targets.
        negatives: per positive.
    """

    def __init__(self, *, assigner: Assigner, coder: DeltaCoder, negatives: float = 3.0) -> None:
        self.assigner, self.coder, self.negatives = assigner, coder, negatives

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches = match_everywhere(self.assigner, outputs, targets)
        positives = mean_over_processes(matches.count(len(outputs.logits)), outputs.logits)
        batch, count, channels = outputs.logits.shape
        labels = torch.where(matches.labels < 0, channels - 1, matches.labels)
        loss = cross_entropy(outputs.logits.flatten(0, 1), labels)
        hard = self.hard_negatives(loss.view(batch, count), matches)
        codes = outputs.codes.flatten(0, 1)[matches.rows]
        boxes = smooth_l1_loss(codes, self.coder.encode(matches.priors, matches.boxes))
        return {
            "loss_class": (loss[matches.rows].sum() + hard.sum()) / positives,
            "loss_box": boxes.sum() / positives,
        }

    def hard_negatives(self, loss: Tensor, matches: Matches) -> Tensor:
        """The largest of the losses (B, A) in the background, so many of each image as its positives allow."""
        batch, count = loss.shape
        negative = loss.masked_fill(~matches.background.view(batch, count), 0)
        hardest = negative.sort(dim=1, descending=True).values
        allowed = self.negatives * torch.bincount(matches.images, minlength=batch)
        return hardest[torch.arange(count, device=loss.device) < allowed[:, None]]


class SSDPostprocessor(DensePostprocessor):
    """As `DensePostprocessor`, with softmax scores whose last class is background."""

    def candidates(self, outputs: DenseOutputs) -> Candidates:
        scores = outputs.logits.softmax(-1)[..., :-1]
        return Candidates(*best_pairs(scores, outputs.level_sizes, self.score_threshold, self.pre_nms))
