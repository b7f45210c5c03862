"""PointRend: where points lie and what is decided there, by hand; and that it learns."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch
from learning import learns, learns_of_nothing
from test_two_stage import shrink
from vidperc.configs.det.point_rend import point_rend_r50_caffe_fpn_mstrain_1x_coco

from vidperc import Instances
from vidperc.image.roi_heads.point_rend import (
    CoarseMaskHead,
    PointHead,
    PointRendBranch,
    PointRoIExtractor,
    at_points,
    point_targets,
)
from vidperc.image.roi_heads.sampling import SampledRegions


def small() -> fdl.Config:
    model = point_rend_r50_caffe_fpn_mstrain_1x_coco().model
    branch = model.roi_head.mask
    model.roi_head.mask = None
    model = shrink(model)
    model.roi_head.mask = branch
    branch.heads = [fdl.Config(CoarseMaskHead, 16, classes=3, channels=16, hidden=32)]
    branch.point_head = fdl.Config(PointHead, 16, classes=3, channels=16)
    return model


def test_it_learns():
    assert {"loss_mask", "loss_point"} <= learns(small(), lr=1e-2).keys()


def test_no_targets_give_finite_losses():
    losses = learns_of_nothing(small())
    assert float(losses["loss_mask"].detach()) == float(losses["loss_point"].detach()) == 0


def test_masks_of_the_picture():
    model = fdl.build(small()).eval()
    found = model.predict([np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)])[0]
    assert found.masks.shape == (len(found), 64, 80)
    assert len(found) > 0


def test_regions_are_sampled_at_the_centres_of_their_bins():
    columns = torch.arange(8.0).expand(1, 1, 4, 8)  # of stride 4: the value at x is x / 4 - 1 / 2
    extractor = PointRoIExtractor(2, stride=4)
    out = extractor([columns], [torch.tensor([[4.0, 0, 12, 16]])])
    torch.testing.assert_close(out[0, 0], torch.tensor([[6 / 4 - 0.5, 10 / 4 - 0.5]]).expand(2, 2))
    ones = torch.ones(1, 1, 4, 8)
    beyond = extractor([ones], [torch.tensor([[-4.0, 0, 4, 16]])])  # centres at -2, where there is nothing, and 2
    assert beyond[0, 0, 0].tolist() == [0, 1]
    two = extractor([torch.cat([ones, 2 * ones])], [torch.tensor([[4.0, 4, 8, 8]])] * 2)
    assert two.flatten(1).mean(1).tolist() == [1, 2]
    assert extractor([ones], [torch.zeros(0, 4)]).shape == (0, 1, 2, 2)


def test_targets_of_points_are_bilinear():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[1, :, 2:] = True
    boxes = torch.tensor([[0.0, 0, 4, 4]])
    sampled = SampledRegions(boxes, torch.tensor([0]), torch.tensor([1]), boxes, torch.tensor([True]))
    points = torch.tensor([[[2.0, 2], [2.25, 2], [2.5, 2], [3.75, 2], [3.5, 0.25]]]) / 4
    targets = Instances(boxes=torch.zeros(2, 4), masks=masks)
    assert point_targets([sampled], [targets], points)[0].tolist() == pytest.approx([0.5, 0.75, 1, 0.75, 0.75])
    dense = at_points(masks[1:].float()[None], points)[0, 0]
    torch.testing.assert_close(point_targets([sampled], [targets], points)[0], dense)


def test_the_least_certain_points_are_decided_anew():
    """A decision of 7 everywhere; of a mask with a certain left half only the uncertain right one takes it."""
    head = PointHead(1, classes=2, channels=1)
    for parameter in head.parameters():
        parameter.data.zero_()
    head.fc_logits.bias.data = torch.tensor([-9.0, 7.0])
    branch = PointRendBranch(
        extractor=PointRoIExtractor(), heads=[CoarseMaskHead(1, classes=2, channels=1)], point_head=head,
        subdivisions=1, points=2,
    )  # fmt: skip
    coarse = torch.zeros(1, 2, 1, 2)
    coarse[0, 1] = torch.tensor([[100.0, 1]])
    # Doubled: 100, 75.25, 25.75, 1 in each row; here a map of one row of two pixels gives 2 x 4.
    features, boxes = [torch.zeros(1, 1, 8, 8)], [torch.tensor([[0.0, 0, 16, 16]])]
    refined = branch.refine(features, boxes, torch.cat([coarse, coarse], 2), torch.tensor([1]))[0]
    assert refined.shape == (4, 4)
    assert (refined == 7).sum() == 2
    assert bool((refined[:, :3] != 7).all())


def test_training_points_are_where_the_mask_is_unsure():
    branch = PointRendBranch(
        extractor=PointRoIExtractor(), heads=[CoarseMaskHead(1, classes=1, channels=1)],
        point_head=PointHead(1, classes=1, channels=1),
    )  # fmt: skip
    logits = torch.linspace(-10, 10, 7).expand(1, 7, 7)  # 0 in the middle column
    points = branch.draw_points(logits)
    assert points.shape == (1, 196, 2)
    assert bool((points >= 0).all())
    assert bool((points <= 1).all())
    away = (points[0] - 0.5).abs()
    inner = away[:, 1] < 3 / 7  # nearer to the border logits fade to 0 too
    chosen = torch.arange(196) < 147
    # A quarter of 588 points is chosen: those within an eighth to either side of the middle.
    assert float(away[inner & chosen, 0].max()) < 0.2
    assert float(away[inner & ~chosen, 0].max()) > 0.3
