"""CentripetalNet: losses and pairs by hand; that it learns."""

from __future__ import annotations

import math

import fiddle as fdl
import numpy as np
import pytest
import torch

from vidperc import Instances
from vidperc.image.heads.centripetal_net import CentripetalCriterion, CentripetalPostprocessor
from vidperc.image.heads.corner_net import Corners
from vidperc.models import get_config
from vidperc.structures import ImageList


def images(size: tuple[int, int]) -> ImageList:
    return ImageList(torch.zeros(1, 3, *size), [size], [size], [(1.0, 1.0)])


def small() -> fdl.Config:
    """Two hourglasses of three resolutions and few channels."""
    model = get_config("centripetalnet_hourglass104_mstest_16x6_210e_coco").model
    model.backbone.channels, model.backbone.blocks, model.backbone.out_channels = (16, 16, 24), (1, 1, 1), 16
    model.head.predictor.in_channels, model.head.predictor.classes = 16, 3
    return model


def test_thirty_steps_halve_the_loss_and_reach_every_parameter():
    torch.manual_seed(0)
    model = fdl.build(small()).train()
    given = images((63, 63))
    given.tensor = torch.randn(1, 3, 63, 63)
    given.tensor[:, :, 8:50, 10:40] += 3
    target = Instances(boxes=torch.tensor([[10.0, 8, 40, 50]]), labels=torch.tensor([1]))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for step in range(30):
        total = sum(model.loss(model.extract_features(given), given, [target]).values())
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [key for key, value in model.named_parameters() if value.grad is None] == []
        optimizer.step()
        losses.append(total.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0], losses
    parts = model.loss(model.extract_features(given), given, [Instances.empty()])
    assert all(bool(torch.isfinite(value)) for value in parts.values())
    assert parts["loss_guide"] == parts["loss_shift"] == parts["loss_offset"] == 0


def maps(size: tuple[int, int], **values: float) -> dict[str, torch.Tensor]:
    zeros = {"heat": torch.zeros(1, 1, *size), **{k: torch.zeros(1, 2, *size) for k in ("offset", "guide", "shift")}}
    return {name: zeros[name] + values.get(name, 0.0) for name in zeros}


def test_losses_of_shifts():
    """A box from (1.25, 2) to (10, 8) on a map of a quarter of the size; its centre is (5.625, 5)."""
    target = Instances(boxes=torch.tensor([[5.0, 8, 40, 32]]), labels=torch.tensor([0]))
    losses = CentripetalCriterion()([Corners(maps((10, 20)), maps((10, 20)))] * 2, images((40, 80)), [target])
    first, second = (4.625 - 0.5) + (3 - 0.5), (4.375 - 0.5) + (3 - 0.5)  # from cells (1, 2) and (10, 8)
    assert losses["loss_guide"].item() == pytest.approx(2 * 0.05 * (first + second) / 2)
    shift = (math.log(4.375) - 0.5) + (math.log(3) - 0.5)
    assert losses["loss_shift"].item() == pytest.approx(2 * shift)


def test_the_centre_of_a_tiny_box_is_behind_its_lower_corners_cell():
    """From 3.6 to 3.9 cells: the centre 3.75 is 0.75 beyond the beginning of cell 3, where both corners are."""
    target = Instances(boxes=torch.tensor([[14.4, 14.4, 15.6, 15.6]]), labels=torch.tensor([0]))
    corners = Corners(maps((10, 10), guide=0.75), maps((10, 10), guide=-0.75))
    losses = CentripetalCriterion()([corners], images((40, 40)), [target])
    assert losses["loss_guide"].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("start", "end", "pairs"),
    [
        ((14, 16), (14, 16), 1),
        ((12, 13), (16, 19), 1),  # an area of 24 between the ends, that of the central part is 55.6
        ((11.5, 13), (16.5, 19), 0),  # an area of 30
        ((10.6, 16), (14, 16), 0),  # the central part begins at 14 - 8 / 2.4
        ((14, 16), (14, 20.2), 0),  # and ends at 16 + 10 / 2.4
    ],
)
def test_shifts_of_a_pair_end_near_each_other_in_the_middle(start, end, pairs):
    """The box is (6, 6, 22, 26), in cells of 4 pixels from (1.5, 1.5) to (5.5, 6.5)."""
    first, second = maps((8, 8), heat=-20, offset=0.5), maps((8, 8), heat=-20, offset=0.5)
    first["heat"][0, 0, 1, 1] = second["heat"][0, 0, 6, 5] = 2
    first["shift"][0, :, 1, 1] = torch.tensor([start[0] - 6, start[1] - 6]).div(4).log()
    second["shift"][0, :, 6, 5] = torch.tensor([22 - end[0], 26 - end[1]]).div(4).log()
    found = CentripetalPostprocessor(corners=1).pairs(Corners(first, second), images((32, 32)))[0]
    assert len(found) == pairs
    if pairs:
        torch.testing.assert_close(found.boxes, torch.tensor([[6.0, 6, 22, 26]]))


def test_the_central_part_of_a_large_box_is_larger():
    """A box of 60 x 60 pixels about 32: its central part begins at 32 - 30 / 2.1 = 17.7, not at 19.5."""
    first, second = maps((8, 8), heat=-20, offset=0.25), maps((8, 8), heat=-20, offset=0.75)
    first["heat"][0, 0, 0, 0] = second["heat"][0, 0, 7, 7] = 2
    first["shift"][0, :, 0, 0] = torch.tensor([(18.5 - 2) / 8, 30 / 8]).log()
    second["shift"][0, :, 7, 7] = torch.tensor([30 / 8, 30 / 8]).log()
    found = CentripetalPostprocessor(corners=1).pairs(Corners(first, second), images((64, 64)))[0]
    torch.testing.assert_close(found.boxes, torch.tensor([[2.0, 2, 62, 62]]))
