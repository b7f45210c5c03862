"""Grid R-CNN: points, maps and boxes by hand; and that it learns."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch
from learning import learns, learns_of_nothing
from test_two_stage import shrink
from vidperc.configs.common.grid_rcnn import grid_rcnn

from vidperc.image.roi_heads.grid import (
    ClassHead,
    GridCriterion,
    GridHead,
    add_neighbours,
    boxes_from_maps,
    jittered,
    neighbours,
)


def small() -> fdl.Config:
    model = grid_rcnn().model
    roi_head = model.roi_head
    del model.roi_head
    model = shrink(model)
    model.roi_head = roi_head
    roi_head.class_head = fdl.Config(ClassHead, 16, classes=3, hidden=32)
    roi_head.grid_head = fdl.Config(GridHead, 16, convs=2, channels=4, groups=4)
    roi_head.sampler.sampler.count, roi_head.training_regions = 32, 6
    return model


def test_it_learns():
    assert {"loss_class", "loss_grid"} <= learns(small(), lr=1e-2).keys()


def test_no_targets_give_finite_losses():
    assert float(learns_of_nothing(small())["loss_grid"].detach()) == 0


@pytest.mark.parametrize("threshold", [0.0, 1.1])
def test_detections(threshold):
    config = small()
    config.roi_head.score_threshold = threshold
    found = fdl.build(config).eval().predict([np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)])[0]
    assert found.boxes.shape == (len(found), 4)
    assert (len(found) > 0) == (threshold == 0)


def test_neighbours_of_the_points():
    assert [neighbours(point) for point in (0, 4, 5, 8)] == [[1, 3], [1, 3, 5, 7], [2, 4, 8], [5, 7]]


def test_neighbours_are_added():
    """Each layer gives what it sees, so the sums count the neighbours."""
    layers = torch.nn.ModuleList(torch.nn.ModuleList(torch.nn.Identity() for _ in neighbours(i)) for i in range(9))
    seen = [torch.tensor(10.0**-i) for i in range(9)]
    out = add_neighbours([torch.tensor(5.0)] * 9, seen, layers)
    assert out[0].item() == pytest.approx(5 + 0.1 + 0.001)
    assert out[4].item() == pytest.approx(5 + 0.1 + 1e-3 + 1e-5 + 1e-7)


def test_targets_by_hand():
    """A region that is its target: its sides lie at a quarter and three quarters of the surroundings."""
    boxes = torch.tensor([[10.0, 20, 50, 60], [0, 0, 1.5, 40]])
    maps = GridCriterion(radius=1).targets(boxes, boxes, 28)
    assert maps.shape == (2, 9, 28, 28)
    assert maps[1].sum() == 0  # too narrow
    assert maps[0].sum((1, 2)).tolist() == [5] * 9
    for point, (row, column) in {0: (14, 14), 4: (14, 14), 6: (14, 14), 8: (14, 14)}.items():
        # 56 pixels: sides at 14 and 42, the middle at 28; the maps begin at 0, 14 and 28.
        assert maps[0, point, row, column - 1 : column + 2].tolist() == [1, 1, 1]
        assert maps[0, point, row - 1 : row + 2, column].tolist() == [1, 1, 1]
    shifted = GridCriterion(radius=1).targets(boxes[:1], boxes[:1] + torch.tensor([-20.0, 0, 0, 10]), 28)[0]
    assert shifted[0, 13:16, 0].tolist() == [1, 1, 1]  # 20 pixels to the left are 14 in the map of 56 for 80
    assert shifted[0].sum() == 4  # the fifth would lie outside
    assert shifted[8, 21, 14] == 1  # 10 below are 7


def test_boxes_from_maps_by_hand():
    boxes = torch.tensor([[10.0, 20, 50, 60]])
    scores = torch.zeros(1, 9, 28, 28)
    scores[:, :, 14, 14] = 0.5
    expected = boxes + 40 * 0.5 / 28  # centres of the pixels
    torch.testing.assert_close(boxes_from_maps(boxes, scores), expected)
    scores[0, 0, 14, 14], scores[0, 0, 14, 0] = 0.1, 1.0  # the first point, twice as sure, lies 20 pixels to the left
    left = boxes_from_maps(boxes, scores) - expected
    assert left[0].tolist() == pytest.approx([-10, 0, 0, 0], abs=1e-4)
    assert boxes_from_maps(boxes[:0], scores[:0]).shape == (0, 4)


def test_the_loss_by_hand():
    maps, truth = torch.zeros(1, 9, 2, 2), torch.ones(1, 9, 2, 2)
    assert GridCriterion(weight=15)(maps, truth).item() == pytest.approx(15 * np.log(2))


def test_regions_are_moved_within_the_picture():
    boxes = torch.tensor([[0.0, 0, 60, 40]]).repeat(100, 1)
    moved = jittered(boxes, 0.15, (41, 66))
    assert float(moved.min()) >= 0
    assert float(moved[:, 2].max()) == 65
    assert float(moved[:, 3].max()) == 40
    inner = jittered(boxes + 100, 0.15, (1000, 1000))
    middle = (inner[:, :2] + inner[:, 2:]) / 2 - torch.tensor([130.0, 120])
    sides = inner[:, 2:] - inner[:, :2]
    for found, side in ((middle.abs(), 0), (sides - torch.tensor([60.0, 40]), 1)):
        assert float(found[:, 0].abs().max()) <= 9, side
        assert float(found[:, 0].abs().max()) > 8, side
        assert float(found[:, 1].abs().max()) <= 6, side
