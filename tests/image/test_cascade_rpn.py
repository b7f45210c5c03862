"""Cascade RPN: where its second stage looks, what its first stage learns, by hand."""

from __future__ import annotations

import math

import fiddle as fdl
import pytest
import torch
from vidperc.configs.det import cascade_rpn as configs

from vidperc import Instances
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.cascade_rpn import RegionAssigner, sampling_offsets
from vidperc.image.priors import AnchorGenerator
from vidperc.image.roi_heads.box_head import BoxOutputs
from vidperc.image.roi_heads.sampling import SampledRegions
from vidperc.structures import ImageList

GRID = AnchorGenerator((8, 16), (1.0,), (8.0,))([(8, 8), (4, 4)])  # 64 pixels wide on the first level


def test_the_kernel_spans_the_anchor():
    # of two locations at (0, 0) and (8, 0): one anchor centred at (4, 8), 32 by 16; one of two cells at its place
    anchors = torch.tensor([[[-12.0, 0, 20, 16], [0, -8, 16, 8]]])
    offsets = sampling_offsets(anchors, 8, (1, 2))
    assert offsets.shape == (1, 18, 1, 2)
    taps = offsets[0, :, 0].T.view(2, 3, 3, 2)  # y and x of each
    assert taps[1].abs().max() == 0
    assert (taps[0, ..., 0] == 1).all()
    assert taps[0, ..., 1].tolist() == [[-0.5, 0.5, 1.5]] * 3


def test_cells_in_the_middle_learn_and_later_targets_take_their_surroundings():
    near, far = [8.0, 8, 40, 40], [16.0, 8, 48, 40]  # middles are the cells (3, 3) and (4, 3), around them one more
    for boxes in ([near, far], [far, near]):
        assigned = RegionAssigner()(GRID, Instances(boxes=torch.tensor(boxes)))
        last = 3 * 8 + (3 if boxes[1] is near else 4)
        assert assigned.nonzero().numel() == 80
        assert (assigned >= 0).nonzero()[:, 0].tolist() == [last]
        assert assigned[last] == 1
    ignored = Instances(boxes=torch.tensor([near, far]), ignored=torch.tensor([True, False]))
    assert RegionAssigner()(GRID, ignored)[3 * 8 + 4] == 1


def test_large_targets_are_of_the_second_level():
    assigned = RegionAssigner()(GRID, Instances(boxes=torch.tensor([[-32.0, -32, 96, 96]])))  # cells -2 to 6, middle 2
    assert (assigned >= 0).nonzero()[:, 0].tolist() == [64 + y * 4 + x for y in (1, 2, 3) for x in (1, 2, 3)]


def test_the_first_loss_by_hand():
    head = fdl.build(configs.crpn_r50_caffe_fpn_1x_coco().model.rpn)
    codes = torch.zeros(2, 80, 4, requires_grad=True)
    target = Instances(boxes=torch.tensor([[8.0, 8, 40, 40]]))  # a quarter of the anchor
    loss = head.first_loss(codes, GRID, [target, Instances.empty()])
    assert loss.item() == pytest.approx(10 * 0.75 / (160 / 200))
    loss.backward()
    assert codes.grad[0].any(1).nonzero()[:, 0].tolist() == [3 * 8 + 3]


def test_anchors_are_refined_within_their_image():
    head = fdl.build(configs.crpn_r50_caffe_fpn_1x_coco().model.rpn)
    images = ImageList(torch.zeros(2, 3, 64, 64), [(64, 64), (20, 30)], [(64, 64), (20, 30)], [(1.0, 1.0)] * 2)
    refined = head.refine(torch.tensor([[0.0, 0, 64, 64]]), torch.tensor([[[1.0, 0, 0, 0]]] * 2), images)
    torch.testing.assert_close(refined, torch.tensor([[[6.4, 0, 64, 64]], [[6.4, 0, 30, 20]]]))


def test_classes_of_the_second_stage_weigh_more():
    criterion = fdl.build(configs.crpn_faster_rcnn_r50_caffe_fpn_1x_coco().model.roi_head.criterion)
    empty = torch.zeros(0, dtype=torch.int64)
    region = SampledRegions(torch.zeros(1, 4), torch.tensor([1]), empty, torch.zeros(0, 4), torch.tensor([False]))
    losses = criterion(BoxOutputs(torch.zeros(1, 2), torch.zeros(1, 4)), [region], DeltaCoder())
    assert losses["loss_class"].item() == pytest.approx(1.5 * math.log(2))
    assert losses["loss_box"].item() == 0
