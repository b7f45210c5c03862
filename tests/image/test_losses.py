"""Losses on values that can be worked out by hand, or against torchvision's."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision import ops

from vidperc.image import losses

BOX = torch.tensor([[0.0, 0, 10, 10]])
HALF = torch.tensor([[0.0, 0, 10, 5]])
AWAY = torch.tensor([[20.0, 0, 30, 10]])


def test_overlap_losses_by_hand():
    assert losses.iou_loss(HALF, BOX).item() == pytest.approx(-math.log(0.5))
    assert losses.linear_iou_loss(HALF, BOX).item() == pytest.approx(0.5)
    assert losses.giou_loss(AWAY, BOX).item() == pytest.approx(1 + 100 / 300)  # a third of the hull is empty
    # same width and x; y differs by 2.5 of 10: 1 - 5 / 15; height half: 1 - 0.5
    bound = losses.bounded_iou_loss(HALF, BOX).item()
    assert bound == pytest.approx((2 / 3 - 0.1) + (0.5 - 0.1), abs=1e-3)


def random_boxes(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(50, 2, generator=generator) * 20
    return torch.cat((corner, corner + 1 + 20 * torch.rand(50, 2, generator=generator)), dim=1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (losses.giou_loss, ops.generalized_box_iou_loss),
        (losses.diou_loss, ops.distance_box_iou_loss),
        (losses.ciou_loss, ops.complete_box_iou_loss),
    ],
)
def test_overlap_losses_equal_torchvisions(ours, theirs):
    a, b = random_boxes(0), random_boxes(1)
    torch.testing.assert_close(ours(a, b), theirs(a, b), rtol=1e-4, atol=1e-5)


def test_focal_loss_equals_torchvisions_and_takes_other_labels_as_background():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, -1, -2, 3])
    target = torch.zeros(6, 3)
    target[[0, 1, 2], [0, 1, 2]] = 1
    torch.testing.assert_close(losses.sigmoid_focal_loss(logits, labels), ops.sigmoid_focal_loss(logits, target))


def test_quality_and_varifocal_loss_by_hand():
    logits = torch.zeros(1, 2)  # scores of a half, cross entropy log 2
    quality = losses.quality_focal_loss(logits, torch.tensor([0]), torch.tensor([0.8]))
    torch.testing.assert_close(quality, math.log(2) * torch.tensor([[0.3**2, 0.5**2]]))
    varifocal = losses.varifocal_loss(logits, torch.tensor([[0.8, 0.0]]))
    torch.testing.assert_close(varifocal, math.log(2) * torch.tensor([[0.8, 0.75 * 0.5**2]]))


def test_distribution_focal_loss_by_hand():
    scores = torch.tensor([[0.5, 0.25, 0.25]])
    loss = losses.distribution_focal_loss(scores.log(), torch.tensor([0.25]))
    assert loss.item() == pytest.approx(-(0.75 * math.log(0.5) + 0.25 * math.log(0.25)))


def test_balanced_l1_is_continuous():
    at = torch.tensor([1.0 - 1e-6, 1.0 + 1e-6])
    left, right = losses.balanced_l1_loss(at, torch.zeros(2)).tolist()
    assert left == pytest.approx(right, abs=1e-4)


def test_no_boxes_have_no_loss():
    empty = torch.zeros(0, 4)
    for loss in (losses.iou_loss, losses.giou_loss, losses.ciou_loss, losses.bounded_iou_loss, losses.l1_loss):
        assert loss(empty, empty).sum() == 0
