"""YOLOF's matching, decoding and losses on cases small enough to check by hand."""

from __future__ import annotations

import math

import pytest
import torch

from vidperc import Instances
from vidperc.image.assigners import BACKGROUND, IGNORED
from vidperc.image.heads.dense import DenseOutputs
from vidperc.image.heads.yolof import NearDeltaCoder, UniformAssigner, YOLOFCriterion, joint_logits
from vidperc.structures import ImageList

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]])


def test_the_nearest_anchor_and_the_nearest_prediction_are_matched():
    predicted = torch.tensor([[42.0, 0, 52, 10], [41, 0, 51, 10], [90, 90, 99, 99], [41.5, 0, 51.5, 10]])
    matches = UniformAssigner(nearest=1)(ANCHORS, predicted, torch.tensor([[40.0, 0, 50, 10]]))
    # The nearest prediction is anchor 1's, which does not overlap the target itself; the nearest anchor is 2.
    assert matches.anchors.tolist() == [1, 2]
    assert matches.targets.tolist() == [0, 0]
    assert matches.learns.tolist() == [False, True]
    # Predictions 0 and 3 have IoU 8 / 12 and 8.5 / 11.5 with the target.
    assert matches.assigned.tolist() == [BACKGROUND, IGNORED, 0, IGNORED]


def test_of_several_targets_of_an_anchor_the_last_counts_and_all_pairs_are_kept():
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10]])
    matches = UniformAssigner(nearest=4)(ANCHORS[:1], ANCHORS[:1], boxes)
    assert matches.anchors.tolist() == [0, 0, 0, 0]
    assert matches.targets.tolist() == [0, 1, 0, 1]
    assert matches.assigned.tolist() == [1]


def test_nothing_to_match_leaves_background():
    matches = UniformAssigner()(ANCHORS, ANCHORS, torch.zeros(0, 4))
    assert matches.assigned.tolist() == [BACKGROUND] * 4
    assert len(matches.anchors) == 0


def test_joint_logits_are_those_of_the_product():
    logits = joint_logits(torch.tensor([0.0, 30.0, -2.0]), torch.tensor([0.0, 1.0, 40.0]))
    assert logits.tolist() == pytest.approx([math.log(1 / 3), 1.0, -2.0], abs=1e-5)


def test_centres_move_by_at_most_32_pixels_and_sizes_shrink_freely():
    box = NearDeltaCoder().decode(torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([[1.0, -0.1, -7.0, 9.0]]))[0]
    width, height = 100 * math.exp(-7), 100 / 0.016
    assert box.tolist() == pytest.approx([82 - width / 2, 40 - height / 2, 82 + width / 2, 40 + height / 2])


@pytest.mark.parametrize(("move", "box_loss"), [(0.0, 0.0), (0.5, 2 * (1 - 1 / 3))])
def test_losses(move, box_loss):
    """The anchor of the target is in two pairs, and both count; moved by half, its box has GIoU 1/3."""
    priors = torch.tensor([[0.0, 0, 32, 32], [100, 0, 132, 32]])
    codes = torch.tensor([[[move, 0, 0, 0], [0, 0, 0, 0]]])
    outputs = DenseOutputs(priors=priors, level_sizes=[2], logits=torch.zeros(1, 2, 2), codes=codes)
    images = ImageList(torch.zeros(1, 3, 64, 160), [(64, 160)], [(64, 160)], [(1.0, 1.0)])
    criterion = YOLOFCriterion(assigner=UniformAssigner(nearest=1), coder=NearDeltaCoder())
    target = Instances(boxes=priors[:1], labels=torch.tensor([1]))
    losses = criterion(outputs, images, [target])
    # focal loss at score 1/2: ln 2 / 4 times 1/4 for the true class and 3/4 for each of the three others
    assert losses["loss_class"].item() == pytest.approx(math.log(2) / 4 * (1 / 4 + 3 * 3 / 4))
    assert losses["loss_box"].item() == pytest.approx(box_loss, abs=1e-6)
    without = criterion(outputs, images, [Instances.empty()])
    assert without["loss_class"].item() == pytest.approx(math.log(2) / 4 * (4 * 3 / 4))
    assert without["loss_box"].item() == 0
