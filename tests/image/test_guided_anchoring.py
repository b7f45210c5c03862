"""Guided Anchoring: targets of locations and shapes, losses and decisions by hand."""

from __future__ import annotations

import math

import pytest
import torch

from vidperc import Instances
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.dense import DenseOutputs
from vidperc.image.heads.guided_anchoring import GuideCriterion, GuidedRPNPredictor, ShapeCoder, in_region
from vidperc.image.heads.guided_retina import GuidedPostprocessor
from vidperc.image.heads.guided_rpn import GuidedRPNHead
from vidperc.image.heads.rpn import ProposalSelector, RPNCriterion
from vidperc.image.priors import AnchorGenerator
from vidperc.image.regression import CodeRegression
from vidperc.image.samplers import RandomSampler
from vidperc.structures import ImageList

IMAGE = ImageList(torch.zeros(1, 3, 64, 64), [(64, 64)], [(64, 64)], [(1.0, 1.0)])
SQUARES = AnchorGenerator((8, 16), (1.0,), (4.0,))  # 32 pixels wide on the first level, 64 on the second
PRIORS, SIZES = torch.cat(SQUARES([(8, 8), (4, 4)])), [64, 16]


def guide(assigner=None, coder=None) -> GuideCriterion:
    return GuideCriterion(assigner=assigner, sampler=RandomSampler(256, 0.5), coder=coder or ShapeCoder(), scale=4.0)


def maps(*boxes) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Centres and weights of the levels as maps."""
    found = guide().locations(PRIORS, SIZES, torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    centre, weight = (part.split(SIZES) for part in found)
    return [centre[0].view(8, 8), centre[1].view(4, 4)], [weight[0].view(8, 8), weight[1].view(4, 4)]


def test_shapes_are_relative_to_the_square():
    coder = ShapeCoder((0.07, 0.07, 0.14, 0.14))
    shapes = torch.tensor([[math.log(2) / 0.14, 0.0]])
    torch.testing.assert_close(
        coder.anchors(torch.tensor([[0.0, 0, 32, 32]]), shapes), torch.tensor([[-16.0, 0, 48, 32]])
    )


def test_a_region_is_rounded_to_cells():
    cells = torch.tensor([[x, y] for y in range(4) for x in range(10)])
    inside = in_region(cells, torch.tensor([[0.0, 0, 10, 4]]), 0.2)[:, 0]  # 4 to 6 and 1.6 to 2.4
    assert cells[inside].tolist() == [[4, 2], [5, 2], [6, 2]]


def test_locations_of_one_target():
    centre, weight = maps((8, 8, 40, 40))  # of the first level's size; in its cells 1 to 5
    assert centre[0].nonzero().tolist() == [[3, 3]]
    assert not centre[1].any()
    expected = torch.full((8, 8), 0.1)
    expected[2:5, 2:5] = 0
    expected[3, 3] = 1
    torch.testing.assert_close(weight[0], expected)
    expected = torch.full((4, 4), 0.1)
    expected[1:3, 1:3] = 0  # around it on the next level nothing is told
    torch.testing.assert_close(weight[1], expected)


def test_the_later_of_two_targets_decides_where_both_are():
    near, far = (8, 8, 40, 40), (16, 8, 48, 40)
    for boxes, weights in (((near, far), (0, 1)), ((far, near), (1, 0))):
        centre, weight = maps(*boxes)
        assert centre[0].nonzero().tolist() == [[3, 3], [3, 4]]
        assert weight[0][3, 3:5].tolist() == list(weights)


def test_without_targets_all_locations_are_background():
    centre, weight = maps()
    assert not any(part.any() for part in centre)
    assert all((part == 0.1).all() for part in weight)


def outputs(**changes) -> DenseOutputs:
    extra = {"location": torch.zeros(1, 80, 1), "shape": torch.zeros(1, 80, 2)}
    return DenseOutputs(PRIORS, SIZES, torch.zeros(1, 80, 2), torch.zeros(1, 80, 4), extra={**extra, **changes})


def test_losses_of_the_guide_by_hand():
    def the_square_there(priors, targets, predictions=None):
        return torch.where(torch.arange(80) == 3 * 8 + 3, 0, -1)

    target = [Instances(boxes=torch.tensor([[8.0, 8, 40, 40]]))]
    shape = torch.zeros(1, 80, 2)
    shape[0, 27, 0] = math.log(2)  # twice as wide as the target: bounded IoU loss of the width 0.5 - 0.1
    losses = guide(the_square_there)(outputs(shape=shape), IMAGE, target)
    positive, negative = 0.25 * 0.25 * math.log(2), 0.75 * 0.25 * math.log(2) * 0.1
    assert losses["loss_location"].item() == pytest.approx((positive + (55 + 12) * negative) / (80 / 200), rel=1e-5)
    assert losses["loss_shape"].item() == pytest.approx(0.4 / 80, rel=1e-3)


def test_the_best_anchors_of_likely_locations_are_kept_with_all_their_classes():
    logits = torch.full((1, 80, 2), -9.0)
    logits[0, :4] = torch.tensor([[2.0, 1], [1.5, 1.5], [5, 5], [-9, -9]])
    location = torch.zeros(1, 80, 1)
    location[0, 2] = -10
    said = outputs(location=location)
    said.logits = logits
    post = GuidedPostprocessor(coder=DeltaCoder(), shape_coder=ShapeCoder(), pre_nms=1)
    found = post(said, IMAGE)[0]
    torch.testing.assert_close(found.scores, torch.tensor([2.0, 1.0]).sigmoid())
    assert found.labels.tolist() == [0, 1]
    assert found.boxes.tolist() == [[0, 0, 16, 16]] * 2
    post.pre_nms = 3  # the third is not looked at, whatever its score
    assert post.candidates(said).prior.tolist() == [0, 0, 1, 1]


def test_no_regions_where_no_location_is_likely():
    head = GuidedRPNHead(
        predictor=GuidedRPNPredictor(16, 16),
        squares=SQUARES,
        guide=guide(),
        coder=DeltaCoder(),
        criterion=RPNCriterion(None, RandomSampler(), CodeRegression()),
        select=ProposalSelector(pre_nms=30),
        select_training=ProposalSelector(),
    ).eval()
    features = [torch.randn(1, 16, 8, 8), torch.randn(1, 16, 4, 4)]
    with torch.no_grad():
        torch.nn.init.normal_(head.predictor.conv_loc.weight, std=1.0)
        torch.nn.init.constant_(head.predictor.conv_loc.bias, -4.6)
        kept = (head(features).extra["location"].sigmoid() >= 0.01).sum().item()
        assert 0 < kept < 80
        assert 0 < len(head.propose(features, IMAGE)[0]) <= kept
        torch.nn.init.constant_(head.predictor.conv_loc.bias, -100.0)
        assert len(head.propose(features, IMAGE)[0]) == 0
