"""Assignment on a handful of priors, expected by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vidperc import Instances
from vidperc.image.assigners import ATSSAssigner, MaxIoUAssigner, NearestPointAssigner, PointRangeAssigner, max_iou
from vidperc.image.heads.yolov3 import YOLOAnchors, YOLOAssigner


def boxes(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


PRIORS = boxes((0, 0, 10, 10), (0, 0, 10, 5), (5, 0, 15, 10), (50, 50, 60, 60), (0, 0, 10, 4.5))
TARGETS = Instances(boxes=boxes((0, 0, 10, 10), (50, 50, 60, 58), (100, 100, 101, 101)))


def test_overlap_makes_positive_ignored_and_background():
    # IoU with the first target: 1, 0.5, 1/3, 0, 0.45; the fourth prior has 0.8 with the second
    assigned = MaxIoUAssigner(positive=0.5, negative=0.4, match_low_quality=False)(PRIORS, TARGETS)
    assert assigned.tolist() == [0, 0, -1, 1, -2]


def test_a_target_that_overlaps_little_keeps_its_best_priors():
    far = Instances(boxes=boxes((8, 0, 18, 10)))  # IoU 0.111, 0.053, 0.538, 0, 0.047
    assert MaxIoUAssigner(positive=0.7, negative=0.3)(PRIORS, far).tolist() == [-1, -1, 0, -1, -1]
    twins = PRIORS[[2, 2]]
    assert MaxIoUAssigner(positive=0.7, negative=0.3)(twins, far).tolist() == [0, 0]
    assert MaxIoUAssigner(positive=0.7, negative=0.3, all_best=False)(twins, far).tolist() == [0, -2]
    assert MaxIoUAssigner(positive=0.7, negative=0.3, min_positive=0.6)(twins, far).tolist() == [-2, -2]


def test_ignored_regions_teach_nothing_and_are_never_assigned():
    targets = Instances(boxes=boxes((40, 40, 70, 70), (0, 0, 10, 10)), ignored=torch.tensor([True, False]))
    assert MaxIoUAssigner(ignored=0.5)(PRIORS, targets).tolist() == [1, 1, -1, -2, -2]


def test_targets_looked_at_in_chunks_give_the_same(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    corner, size = torch.rand(300, 2, generator=generator) * 50, torch.rand(300, 2, generator=generator) * 30 + 1
    every = torch.cat((corner, corner + size), dim=1)
    targets = Instances(boxes=every[:40])
    whole = MaxIoUAssigner()(every[40:], targets)
    monkeypatch.setattr(max_iou, "CHUNK", 3 * 260)
    assert torch.equal(MaxIoUAssigner()(every[40:], targets), whole)


@pytest.mark.parametrize(
    ("assigner", "priors"),
    [
        (MaxIoUAssigner(), PRIORS),
        (ATSSAssigner(), PRIORS),
        (PointRangeAssigner(), boxes((4, 4, 8))),
        (NearestPointAssigner(), boxes((4, 4, 8))),
    ],
)
def test_without_targets_all_is_background(assigner, priors):
    assert set(assigner(priors, Instances.empty(), None).tolist()) == {-1}


def test_points_learn_the_smallest_target_within_the_range_of_their_level():
    points = boxes((20, 20, 8), (20, 20, 16), (60, 60, 8), (60, 60, 16), (150, 150, 16))
    targets = Instances(boxes=boxes((0, 0, 120, 120), (10, 10, 30, 30)))
    # farthest sides from (20, 20): 100 of the large target, 10 of the small; level 8 takes up to 64, 16 from 64 on
    assert PointRangeAssigner((8, 16), (64, 128))(points, targets).tolist() == [1, 0, 0, -1, -1]
    # within 1.5 strides of the centre only: (20, 20) is 40 from the large one's
    assert PointRangeAssigner((8, 16), (64, 128), radius=1.5)(points, targets).tolist() == [1, -1, 0, -1, -1]


def test_nearest_point_on_the_level_of_the_size():
    points = boxes((0, 0, 8), (8, 0, 8), (16, 0, 8), (0, 0, 16), (16, 0, 16))
    targets = Instances(boxes=boxes((-10, -16, 22, 16), (-16, -32, 48, 32)))  # 32 and 64 pixels: strides 8 and 16
    assert NearestPointAssigner(scale=4)(points, targets).tolist() == [-1, 0, -1, -1, 1]


def test_atss_takes_what_overlaps_by_mean_plus_deviation():
    priors = boxes((0, 0, 10, 10), (2, 0, 12, 10), (20, 0, 30, 10), (40, 0, 50, 10))
    targets = Instances(boxes=boxes((0, 0, 10, 10)))
    # of the three nearest IoU is 1, 2/3 and 0: mean 0.556, deviation 0.509, threshold 1.065; nothing is so good
    levels = SimpleNamespace(level_sizes=[4])
    assert ATSSAssigner(3)(priors, targets, levels).tolist() == [-1, -1, -1, -1]
    # of all four: mean 0.417, deviation 0.5, threshold 0.917
    assert ATSSAssigner(4)(priors, targets, levels).tolist() == [0, -1, -1, -1]


def test_atss_needs_the_levels():
    with pytest.raises(ValueError, match="predictions"):
        ATSSAssigner()(PRIORS, TARGETS)


def test_yolo_anchors_of_other_cells_do_not_learn():
    anchors = YOLOAnchors((8,), [((10, 10), (30, 30))])
    priors = torch.cat(anchors([(2, 2)]))  # cells at 4 and 12, two anchors each
    targets = Instances(boxes=boxes((7, -1, 17, 9)))  # centre (12, 4), the shape of the first anchor there
    levels = SimpleNamespace(level_sizes=[8])
    assert YOLOAssigner(anchors)(priors, targets, levels).tolist() == [-1, -1, 0, -1, -1, -1, -1, -1]
