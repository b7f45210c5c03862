"""FSAF (https://arxiv.org/abs/1903.00621): one square per location, a target learns on the level that knows it best."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...ops.boxes import box_area, box_centres, pairwise_iof
from ...structures import ImageList, Instances
from ..assigners import BACKGROUND, IGNORED
from ..assigners.common import last_true, learnable, to_target_index
from ..distance_coders import boxes_around, distances_to
from ..losses import iou_loss, sigmoid_focal_loss
from .dense import DenseOutputs, LevelMaps
from .matching import Matches, join, outside, require_labels
from .retinanet import RetinaPredictor

LEAST_CODE = 1e-4  # boxes that are learnt from have an area
NOT_THERE = 1e6  # the loss of a target on a level where nothing learns it


class FSAFPredictor(RetinaPredictor):
    """As RetinaNet's with one prior per location and codes that are not negative."""

    def __init__(self, *, classes: int, **options: Any) -> None:
        super().__init__(classes=classes, anchors=1, **options)
        nn.init.constant_(self.retina_reg.bias, 0.25)  # type: ignore[arg-type]

    def level(self, index: int, x: Tensor) -> LevelMaps:
        maps = super().level(index, x)
        return {**maps, "codes": F.relu(maps["codes"])}


class SideCoder:
    """Distances from a prior's centre to the upper, lower, left and right side, in multiples of the prior's sides.

    Args:
        unit: a code of 1 is so many sides.
    """

    margin = 0

    def __init__(self, unit: float = 4.0) -> None:
        self.unit = unit

    def decode(self, priors: Tensor, codes: Tensor) -> Tensor:
        """Boxes (..., 4) of codes (..., 4)."""
        top, bottom, left, right = codes.unbind(-1)
        size = (priors[..., 2:] - priors[..., :2]) * self.unit
        distances = torch.stack((left, top, right, bottom), dim=-1) * torch.cat((size, size), dim=-1)
        return boxes_around(box_centres(priors), distances)


class CenterRegionAssigner:
    """Priors in the middle of a target learn it, of several targets the smallest.

    Those around the middle lie in the target's shadow: they are not told that its class is not there.

    Args:
        positive, shadow: sides of the middle and of the shadow, in parts of the target's.
        least: part of a prior's area that must lie in a region.
        ignored: priors centred in the middle of an ignored region, of so many parts of its sides, do not learn.
    """

    def __init__(
        self, positive: float = 0.2, shadow: float = 0.2, *, least: float = 0.01, ignored: float = 0.5
    ) -> None:
        self.positive, self.shadow, self.least, self.ignored = positive, shadow, least, ignored

    def __call__(self, priors: Tensor, targets: Instances) -> tuple[Tensor, Tensor]:
        """The index of each prior's target (A,), and which classes (A, C) it lies in the shadow of.

        C is the largest label and one.
        """
        boxes, index = learnable(targets)
        labels = require_labels(targets)[index]
        shaded = torch.zeros(len(priors), int(labels.max()) + 1 if len(labels) else 0, device=priors.device).bool()
        assigned = torch.full((len(priors),), BACKGROUND, device=priors.device)
        if len(boxes):
            core, shadow = self.regions(priors, boxes)  # (A, N)
            order = box_area(boxes).argsort(descending=True, stable=True)
            place = last_true(core[:, order])
            assigned = torch.where(place >= 0, order[place.clamp(min=0)], BACKGROUND)
            others = torch.arange(len(boxes), device=priors.device) != assigned[:, None]
            prior, target = ((core | shadow) & others).nonzero(as_tuple=True)
            shaded[prior, labels[target]] = True
            # what is in the shadow of another target of its class does not learn this class at all
            own = shaded.gather(1, labels[assigned.clamp(min=0)][:, None])[:, 0]
            assigned = torch.where(own, BACKGROUND, assigned)
        if targets.ignored is not None and bool(targets.ignored.any()):
            regions = scaled(targets.boxes[targets.ignored], self.ignored)
            assigned = torch.where(centred_in(priors, regions).any(1), IGNORED, assigned)
        return to_target_index(assigned, index), shaded

    def regions(self, priors: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Which priors lie in the middle of boxes (N, 4), and which only in their shadow; (A, N) each."""
        core = centred_in(priors, boxes) & (pairwise_iof(priors, scaled(boxes, self.positive)) > self.least)
        return core, (pairwise_iof(priors, scaled(boxes, self.shadow)) > self.least) & ~core


def scaled(boxes: Tensor, factor: float) -> Tensor:
    """Boxes (N, 4) with sides multiplied about their centres."""
    half = (boxes[:, 2:] - boxes[:, :2]) * (factor / 2)
    return boxes_around(box_centres(boxes), torch.cat((half, half), dim=1))


def centred_in(priors: Tensor, boxes: Tensor) -> Tensor:
    """Which priors (A, 4) have their centre within boxes (N, 4), (A, N)."""
    return distances_to(box_centres(priors)[:, None], boxes[None]).amin(-1) > 0


class FSAFCriterion:
    """Focal loss of all priors and IoU loss of the positive ones, of each target on one level only.

    That is the level where the mean loss of its priors is lowest (online feature selection, section 3.3).

    Args:
        assigner: priors to targets and shadows.
        coder: of the boxes.
    """

    def __init__(self, *, assigner: CenterRegionAssigner, coder: SideCoder) -> None:
        self.assigner, self.coder = assigner, coder

    def __call__(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        matches, weight = self.match(outputs, images, targets)
        classification = sigmoid_focal_loss(outputs.logits.flatten(0, 1), matches.labels) * weight  # (B * A, C)
        codes = outputs.codes.flatten(0, 1)[matches.rows].clamp(min=LEAST_CODE)
        boxes = iou_loss(self.coder.decode(matches.priors, codes), matches.boxes)  # (P,)
        with torch.no_grad():
            each = classification.sum(1)[matches.rows] + boxes
            chosen = on_best_level(each, matches, outputs.level_sizes, sum(len(target) for target in targets))
        dropped = torch.zeros_like(classification)
        dropped[matches.rows, matches.positive_labels] = (~chosen).to(dropped.dtype)
        negatives = matches.background.view(len(targets), -1).sum(1).clamp(min=1).sum()
        count = chosen.sum() if bool(chosen.any()) else negatives
        return {
            "loss_class": (classification * (1 - dropped)).sum() / count,
            "loss_box": (boxes * chosen).sum() / count,
        }

    @torch.no_grad()
    def match(self, outputs: DenseOutputs, images: ImageList, targets: list[Instances]) -> tuple[Matches, Tensor]:
        """The matches of the batch, and how much each class of each prior counts, (B * A, C)."""
        parts = []
        weight = torch.ones_like(outputs.logits)
        for i, target in enumerate(targets):
            assigned, shaded = self.assigner(outputs.priors, target)
            away = (assigned == BACKGROUND) & outside(outputs.priors, images.padded_alone[i])
            parts.append(torch.where(away, IGNORED, assigned))
            weight[i, :, : shaded.shape[1]].masked_fill_(shaded, 0)
            weight[i].masked_fill_((parts[-1] == IGNORED)[:, None], 0)
        return join(torch.stack(parts), outputs.priors, targets), weight.flatten(0, 1)


def on_best_level(loss: Tensor, matches: Matches, level_sizes: list[int], count: int) -> Tensor:
    """Which positive priors (P,) are on the level where the mean loss (P,) of their target is lowest.

    Args:
        level_sizes: priors of each level.
        count: targets of the batch.
    """
    ends = torch.tensor(level_sizes, device=loss.device).cumsum(0)
    level = torch.bucketize(matches.rows % sum(level_sizes), ends, right=True)
    cell = level * count + matches.targets
    total, number = (
        loss.new_zeros(len(level_sizes) * count).index_add(0, cell, value) for value in (loss, torch.ones_like(loss))
    )
    mean = torch.where(number > 0, total / number, NOT_THERE).view(len(level_sizes), count)
    return mean.argmin(0)[matches.targets] == level if count else torch.zeros_like(level, dtype=torch.bool)
