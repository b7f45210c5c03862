"""FSAF and FoveaBox, whose priors learn in the middle of objects: assignment, codes and losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from vidperc import Instances
from vidperc.image.heads.dense import DenseOutputs
from vidperc.image.heads.fovea import FoveaAssigner, FoveaCriterion, LogDistanceCoder
from vidperc.image.heads.fsaf import CenterRegionAssigner, FSAFCriterion, SideCoder
from vidperc.image.priors import GridPoints
from vidperc.structures import ImageList

IMAGE = ImageList(torch.zeros(1, 3, 200, 200), [(200, 200)], [(200, 200)], [(1.0, 1.0)])


def boxes(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def instances(rows, labels, **fields) -> Instances:
    return Instances(boxes=boxes(*rows), labels=torch.tensor(labels), **fields)


# the middles of the targets below are 40 to 60 and 48 to 52, halves of their sides 25 to 75 and 45 to 55
NESTED = [(0, 0, 100, 100), (40, 40, 60, 60)]
SQUARES = boxes((46, 46, 54, 54), (40, 40, 48, 48), (30, 30, 38, 38), (90, 90, 98, 98))


def test_fsaf_the_smallest_target_is_learnt_and_others_cast_shadows():
    assigned, shaded = CenterRegionAssigner()(SQUARES, instances(NESTED, [0, 1]))
    assert assigned.tolist() == [1, 0, -1, -1]
    assert shaded.tolist() == [[True, False], [False, False], [False, False], [False, False]]
    assigned, shaded = CenterRegionAssigner(shadow=0.5)(SQUARES, instances(NESTED, [0, 1]))
    assert assigned.tolist() == [1, 0, -1, -1]
    assert shaded.tolist() == [[True, False], [False, True], [True, False], [False, False]]


def test_fsaf_nothing_is_learnt_in_the_shadow_of_another_target_of_the_class():
    assigned, shaded = CenterRegionAssigner()(SQUARES, instances(NESTED, [0, 0]))
    assert assigned.tolist() == [-1, 0, -1, -1]
    assert shaded[:, 0].tolist() == [True, False, False, False]


def test_fsaf_the_middle_of_ignored_regions_teaches_nothing():
    targets = instances([(80, 80, 110, 110), *NESTED], [3, 0, 1], ignored=torch.tensor([True, False, False]))
    assert CenterRegionAssigner()(SQUARES, targets)[0].tolist() == [2, 1, -1, -2]  # centred at 94 in 87.5 to 102.5


def test_fsaf_codes_are_in_multiples_of_the_priors_sides():
    prior = boxes((10, 10, 20, 30))  # centre (15, 20), a code of 1 is 40 wide and 80 high
    decoded = SideCoder().decode(prior, torch.tensor([[0.125, 0.25, 0.5, 1.0]]))
    torch.testing.assert_close(decoded, boxes((15 - 20, 20 - 10, 15 + 40, 20 + 20)))


def fsaf_outputs() -> DenseOutputs:
    """Two priors on the first level and one on the second, scores of a half; the first box is (0, 0, 100, 100)."""
    return DenseOutputs(
        priors=boxes((40, 40, 60, 60), (140, 140, 160, 160), (30, 30, 70, 70)),
        level_sizes=[2, 1],
        logits=torch.zeros(1, 3, 1),
        codes=torch.tensor([[[0.625] * 4, [0.1] * 4, [0.15625] * 4]]),  # the last box is (25, 25, 75, 75)
    )


def test_fsaf_a_target_learns_on_its_best_level_only():
    criterion = FSAFCriterion(assigner=CenterRegionAssigner(), coder=SideCoder())
    outputs = fsaf_outputs()
    losses = criterion(outputs, IMAGE, [instances([(0, 0, 100, 100)], [0])])
    # focal loss of the positive prior and of the one in the background; the prior of the other level is left out
    assert losses["loss_class"].item() == pytest.approx((0.25 + 0.75) * 0.25 * math.log(2))
    assert losses["loss_box"].item() == pytest.approx(0, abs=1e-6)
    outputs.codes[0, 0] = 0.3125  # (25, 25, 75, 75) too
    outputs.logits[0, 0] = -1  # and less sure, so that the second level is better
    losses = criterion(outputs, IMAGE, [instances([(0, 0, 100, 100)], [0])])
    assert losses["loss_class"].item() == pytest.approx((0.25 + 0.75) * 0.25 * math.log(2))
    assert losses["loss_box"].item() == pytest.approx(math.log(4), rel=1e-5)


def test_fsaf_without_targets_the_loss_is_per_negative():
    losses = FSAFCriterion(assigner=CenterRegionAssigner(), coder=SideCoder())(
        fsaf_outputs(), IMAGE, [Instances.empty()]
    )
    assert losses["loss_class"].item() == pytest.approx(0.75 * 0.25 * math.log(2))
    assert losses["loss_box"].item() == 0


def points(size: int) -> torch.Tensor:
    return torch.cat(GridPoints((8, 16))([(size, size), (size // 2, size // 2)]))


def fovea(*rows) -> list[int]:
    priors = points(4)
    levels = DenseOutputs(priors, [16, 4], torch.zeros(1, 20, 1), torch.zeros(1, 20, 4))
    return FoveaAssigner(((1, 40), (30, 128)))(priors, Instances(boxes=boxes(*rows)), levels).tolist()


def test_fovea_cells_in_the_middle_learn_on_every_level_of_the_size():
    # in cells of the first level 0 to 4, middle 1.2 to 2.8: centres of cells 1 and 2; of the second 0 to 2, none
    assert fovea((0, 0, 32, 32)) == [-1] * 5 + [0, 0, -1, -1, 0, 0] + [-1] * 9
    # the smaller one takes what lies in both
    assert fovea((8, 8, 16, 16), (0, 0, 32, 32))[:8] == [-1] * 5 + [0, 1, -1]
    # too large for the first level; middle 10.4 to 37.6 pixels: the cell centred at 24, not that at 8
    assert fovea((-10, -10, 58, 58)) == [-1] * 19 + [0]


def test_fovea_an_object_at_the_border_has_a_cell():
    assert fovea((0, 0, 4, 4))[0] == 0  # its middle ends at 0.35 cells, before the cell's centre
    assert fovea((10, 10, 12, 12)) == [-1] * 20  # elsewhere such a small one has none


def test_fovea_codes_are_logarithms_within_bounds():
    coder, point, box = LogDistanceCoder(), torch.tensor([[12.0, 12, 8]]), boxes((4, -4, 28, 44))
    codes = coder.encode(point, box)  # distances 8, 16, 16, 32 in units of 16 pixels
    torch.testing.assert_close(codes, torch.tensor([[0.5, 1, 1, 2]]).log())
    torch.testing.assert_close(coder.decode(point, codes), box)
    far = coder.encode(point, boxes((13, 11.5, 1000, 20)))
    torch.testing.assert_close(far, torch.tensor([[1 / 16, 1 / 16, 16, 0.5]]).log())


def test_fovea_losses_by_hand():
    priors = points(4)
    outputs = DenseOutputs(priors, [16, 4], torch.zeros(1, 20, 1), torch.zeros(1, 20, 4))
    criterion = FoveaCriterion(assigner=FoveaAssigner(((1, 40), (30, 128))), coder=LogDistanceCoder())
    small = ImageList(torch.zeros(1, 3, 32, 32), [(32, 32)], [(32, 32)], [(1.0, 1.0)])
    losses = criterion(outputs, small, [instances([(0, 0, 16, 16)], [0])])
    # cells 0.6 to 1.4 wide around 1: those centred at 0.5 and 1.5 are not in it on the first level
    assert losses["loss_box"].item() == 0
    focal = 0.5**1.5 * math.log(2)
    assert losses["loss_class"].item() == pytest.approx(20 * 0.6 * focal)
    losses = criterion(outputs, small, [instances([(8, 8, 16, 16)], [0])])  # cell (1, 1) at (12, 12)
    assert losses["loss_class"].item() == pytest.approx((19 * 0.6 + 0.4) * focal / 2)
    assert losses["loss_box"].item() == pytest.approx(4 * (math.log(4) - 0.055), rel=1e-5)  # distances of 4 in 16
