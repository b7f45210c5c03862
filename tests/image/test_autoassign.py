"""AutoAssign's losses on cases small enough to check by hand."""

from __future__ import annotations

import math

import pytest
import torch

from vidperc import Instances
from vidperc.image.distance_coders import StrideDistanceCoder
from vidperc.image.heads.autoassign import AutoAssignCriterion
from vidperc.image.heads.dense import DenseOutputs
from vidperc.structures import ImageList

IMAGES = ImageList(torch.zeros(1, 3, 16, 64), [(16, 64)], [(16, 64)], [(1.0, 1.0)])
NOTHING = 0.25**2 * -math.log(0.75)  # the negative loss of a score of 1/4


def outputs(codes: list[list[float]], classes: int = 1) -> DenseOutputs:
    """Points at x = 8, 24, 40 and y = 8 of stride 8, of score 1/2 times 1/2 each."""
    priors = torch.tensor([[8.0, 8, 8], [24, 8, 8], [40, 8, 8]])
    return DenseOutputs(
        priors=priors,
        level_sizes=[3],
        logits=torch.zeros(1, 3, classes),
        codes=torch.tensor([codes]),
        quality=torch.zeros(1, 3),
    )


def losses(codes: list[list[float]], boxes: list[list[float]], labels: list[int], classes: int = 1) -> list[float]:
    criterion = AutoAssignCriterion(coder=StrideDistanceCoder(), classes=classes)
    target = Instances(boxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.tensor(labels, dtype=torch.int64))
    found = criterion(outputs(codes, classes), IMAGES, [target])
    return [found[key].item() for key in ("loss_positive", "loss_negative", "loss_centre")]


def test_a_single_point_in_a_box_learns_it_alone():
    """Its box is right, so its confidence is its score, it is no negative at all, and it is in the middle."""
    found = losses([[1.0, 1, 1, 1]] * 3, [[0.0, 0, 16, 16]], [1], classes=2)
    assert found == pytest.approx([0.25 * -math.log(0.25), 0.75 * 5 * NOTHING, 0.75])


def test_two_points_share_a_box_by_confidence_and_place():
    """Both are a stride off the centre; the second one's box is half of the target."""
    found = losses([[1.0, 1, 3, 1], [1, 1, 1, 1], [1, 1, 1, 1]], [[0.0, 0, 32, 16]], [0])
    first, second = 0.25, 0.25 * math.exp(-5 * 0.5)
    mean = (first * math.exp(3 * first) + second * math.exp(3 * second)) / (math.exp(3 * first) + math.exp(3 * second))
    weight = 2 * math.exp(-0.5)
    negative = 0.75 * 2 * NOTHING / weight  # the second point, which fits worst, and the one outside
    assert found == pytest.approx([0.25 * -math.log(mean), negative, 0.75 / weight], rel=1e-5)


def test_of_two_targets_of_a_class_at_a_point_the_later_one_says_how_negative_it_is():
    """Point 0 is the only one in the first target, but the worse one in the second."""
    codes = [[1.0, 1, 1, 0], [3, 1, 1, 1], [1, 1, 1, 1]]
    found = losses(codes, [[0.0, 0, 16, 16], [0, 0, 32, 16]], [0, 0])
    weight = 1 + 2 * math.exp(-0.5)
    assert found[1:] == pytest.approx([0.75 * 2 * NOTHING / weight, 0.75 * 2 / weight], rel=1e-5)


def test_a_box_without_points_costs_the_most_and_pulls_nothing():
    found = losses([[1.0, 1, 1, 1]] * 3, [[9.0, 9, 12, 12]], [0])
    assert found == pytest.approx([0.25 * 100, 0.75 * 3 * NOTHING, 0], rel=1e-5)


def test_no_targets():
    assert losses([[1.0, 1, 1, 1]] * 3, [], []) == pytest.approx([0, 0.75 * 3 * NOTHING, 0])
