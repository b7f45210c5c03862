"""Prime sample attention: ranks and weights by hand, and what they change in the losses."""

from __future__ import annotations

import math

import pytest
import torch

from vidperc import Instances
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.dense import DenseOutputs
from vidperc.image.heads.pisa import PISAAnchorCriterion, PISASSDCriterion
from vidperc.image.heads.ssd import SSDCriterion
from vidperc.image.prime_samples import ImportanceWeights, ScoreWeights, rank_within
from vidperc.image.regression import CodeRegression
from vidperc.image.roi_heads.box_head import BoxOutputs
from vidperc.image.roi_heads.pisa import ImportantNegatives, PISABoxCriterion, targets_of_batch
from vidperc.image.roi_heads.sampling import SampledRegions
from vidperc.structures import ImageList

IMAGE = ImageList(torch.zeros(1, 3, 100, 100), [(100, 100)], [(100, 100)], [(1.0, 1.0)])


def test_ranks_are_counted_within_each_group():
    values = torch.tensor([0.5, 0.7, 0.9, 0.6, 0.7])
    assert rank_within(values, torch.tensor([3, 1, 3, 1, 1])).tolist() == [1, 0, 0, 2, 1]
    assert rank_within(torch.zeros(0), torch.zeros(0, dtype=torch.int64)).tolist() == []


def test_importance_ranks_within_a_target_first():
    labels, targets = torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 2])
    loss = torch.tensor([1.0, 2, 1, 1])
    # the second is only the second of its target, so it comes after the third, whatever the IoU
    weight = ImportanceWeights()(torch.tensor([0.9, 0.85, 0.6, 0.7]), labels, targets, loss)
    plain = torch.tensor([1, 1 / 9, 4 / 9, 1])
    torch.testing.assert_close(weight, plain * 5 / (1 + 2 / 9 + 4 / 9 + 1))
    assert len(ImportanceWeights()(torch.zeros(0), labels[:0], targets[:0], torch.zeros(0))) == 0


def test_score_weights_have_a_mean_of_one():
    torch.testing.assert_close(ScoreWeights()(torch.tensor([0.5, 1.0])), torch.tensor([0.75, 1.25]))
    torch.testing.assert_close(ScoreWeights(power=2, bias=0)(torch.tensor([0.5, 1.0])), torch.tensor([0.4, 1.6]))


NEGATIVES = torch.tensor([[0.0, 0, 10, 9], [80, 80, 90, 90], [0, 0, 10, 10], [50, 50, 60, 60]])
SCORES = torch.tensor([0.8, 0.01, 0.9, 0.6])


def outputs_of(scores: torch.Tensor) -> BoxOutputs:
    return BoxOutputs(torch.stack((scores, 1 - scores), dim=1).log(), torch.zeros(len(scores), 4))


def test_negatives_are_ranked_group_by_group():
    loss = -(1 - SCORES).log()
    # the first of both groups, then the one that overlaps the third, then one at random that counts as little
    rows, weights = ImportantNegatives()(NEGATIVES, outputs_of(SCORES), DeltaCoder(), 4)
    assert rows.tolist() == [2, 3, 0, 1]
    plain = torch.tensor([1, 0.75, 0.5, 0.5]).sqrt()
    torch.testing.assert_close(weights, plain * loss.sum() / (plain * loss[rows]).sum())
    rows, weights = ImportantNegatives()(NEGATIVES, outputs_of(SCORES), DeltaCoder(), 2)
    assert rows.tolist() == [2, 3]
    plain = torch.tensor([1, 2 / 3]).sqrt()
    torch.testing.assert_close(weights, plain * loss[rows].sum() / (plain * loss[rows]).sum())


def test_negatives_that_look_like_nothing_are_drawn():
    rows, weights = ImportantNegatives()(NEGATIVES, outputs_of(torch.full((4,), 0.04)), DeltaCoder(), 3)
    assert len(set(rows.tolist())) == 3
    assert weights.tolist() == [1, 1, 1]
    for count, boxes in ((0, NEGATIVES), (5, NEGATIVES[:0])):
        rows, weights = ImportantNegatives()(boxes, outputs_of(SCORES[: len(boxes)]), DeltaCoder(), count)
        assert len(rows) == len(weights) == 0


def regions(positives: int, negatives: int) -> SampledRegions:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8]])[:positives]
    return SampledRegions(
        boxes=torch.cat((boxes, torch.full((negatives, 4), 50.0))),
        labels=torch.tensor([0] * positives + [1] * negatives),
        matched=torch.zeros(positives, dtype=torch.int64),
        target_boxes=torch.tensor([[0.0, 0, 10, 10]]).repeat(positives, 1),
        is_target=torch.zeros(positives + negatives, dtype=torch.bool),
    )


def test_region_losses_by_hand():
    scores = torch.tensor([0.5, 0.25, 0.5])
    logits = torch.stack((scores, 1 - scores), dim=1).log().requires_grad_()
    criterion = PISABoxCriterion(regression=CodeRegression())
    losses = criterion(BoxOutputs(logits, torch.zeros(3, 4)), [regions(2, 1)], DeltaCoder(), [torch.tensor([3.0])])
    # importance leaves the sum of the positive ones' losses as it is
    assert losses["loss_class"].item() == pytest.approx((math.log(2) + math.log(4) + 3 * math.log(2)) / 3)
    error = 0.125 + math.log(10 / 8)  # of the second region: its centre is an eighth of its height too high
    assert losses["loss_box"].item() == pytest.approx(error / 3)
    assert losses["loss_carl"].item() == pytest.approx(error * 2 * 0.4 / (0.6 + 0.4) / 3)
    gradient = torch.autograd.grad(losses["loss_class"], logits)[0][:, 0]
    factor = (math.log(2) + math.log(4)) / (math.log(2) + 0.25 * math.log(4))
    torch.testing.assert_close(gradient, torch.tensor([-0.5 * factor, -0.75 * factor * 0.25, 0.5 * 3]) / 3)


def test_targets_are_counted_over_the_batch():
    assert targets_of_batch([regions(2, 1), regions(0, 2), regions(2, 0)]).tolist() == [0, 0, 1, 1]


def two_priors(classes: int) -> DenseOutputs:
    priors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60]])
    return DenseOutputs(priors, [3], torch.zeros(1, 3, classes, requires_grad=True), torch.zeros(1, 3, 4))


TARGETS = [Instances(boxes=torch.tensor([[0.0, 0, 10, 10]]), labels=torch.tensor([0]))]
WEIGHTS = {"importance": ImportanceWeights(), "carl": ScoreWeights()}


def test_dense_losses_weigh_the_best_box_most():
    outputs = two_priors(2)
    losses = PISAAnchorCriterion(assigner=MaxIoUAssigner(), coder=DeltaCoder(), **WEIGHTS)(outputs, IMAGE, TARGETS)
    gradient = torch.autograd.grad(losses["loss_class"], outputs.logits)[0][0]
    torch.testing.assert_close(gradient[0], 4 * gradient[1])  # the second in rank of two: a half, squared
    error = 0.125 + math.log(10 / 8)
    assert losses["loss_box"].item() == pytest.approx(error / 2)
    assert losses["loss_carl"].item() == pytest.approx(error / 2)  # both scores are a half
    focal = (0.25 + 0.75) * 0.25 * math.log(2)  # of an anchor that is positive: one class of two is true
    assert losses["loss_class"].item() == pytest.approx((2 * focal + 2 * 0.75 * 0.25 * math.log(2)) / 2)


def test_hard_negatives_of_ssd_are_not_weighted():
    outputs, options = two_priors(3), {"assigner": MaxIoUAssigner(0.5, 0.5), "coder": DeltaCoder()}
    losses = PISASSDCriterion(**options, **WEIGHTS)(outputs, IMAGE, TARGETS)
    plain = SSDCriterion(**options)(outputs, IMAGE, TARGETS)
    torch.testing.assert_close(losses["loss_class"], plain["loss_class"])
    torch.testing.assert_close(losses["loss_box"], plain["loss_box"])
    torch.testing.assert_close(losses["loss_carl"], plain["loss_box"])
    gradient = torch.autograd.grad(losses["loss_class"], outputs.logits)[0][0]
    torch.testing.assert_close(gradient[0], 4 * gradient[1])
    torch.testing.assert_close(gradient[2], torch.tensor([1, 1, -2]) / 3 / 2)
