"""Parts of the two-stage detectors, on values small enough to check by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from vidperc import Instances
from vidperc.image.assigners import MaxIoUAssigner
from vidperc.image.box_coders import DeltaCoder, clip_boxes
from vidperc.image.heads.rpn import RPNCriterion, RPNOutputs
from vidperc.image.necks.channel_mapper import ChannelMapper
from vidperc.image.necks.fpn import FPN
from vidperc.image.necks.pafpn import PAFPN
from vidperc.image.regression import CodeRegression
from vidperc.image.roi_heads.box_head import codes_of_labels
from vidperc.image.roi_heads.extractor import RoIExtractor
from vidperc.image.roi_heads.paste import paste_masks
from vidperc.image.roi_heads.sampling import RegionSampler
from vidperc.image.samplers import AllSampler, RandomSampler
from vidperc.structures import ImageList


def test_codes_by_hand():
    prior, box = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 10, 25, 20]])
    coder = DeltaCoder(means=(0, 0, 0, 0.5), stds=(0.1, 0.1, 0.2, 0.2))
    codes = coder.encode(prior, box)  # centres (5, 10) and (15, 15), sizes (10, 20) and (20, 10)
    expected = [[10.0, 2.5, math.log(2) / 0.2, (math.log(0.5) - 0.5) / 0.2]]
    torch.testing.assert_close(codes, torch.tensor(expected))
    torch.testing.assert_close(coder.decode(prior, codes), box)
    many = coder.decode(prior, codes.repeat(1, 3))
    torch.testing.assert_close(many, box.repeat(1, 3))
    torch.testing.assert_close(coder.decode(prior, codes, (15, 20)), torch.tensor([[5.0, 10, 20, 15]]))
    free = DeltaCoder(clip_border=False)
    torch.testing.assert_close(free.decode(prior, free.encode(prior, box), (15, 20)), box)


def test_sides_grow_no_more_than_the_bound():
    prior = torch.tensor([[0.0, 0, 10, 10]])
    box = DeltaCoder().decode(prior, torch.tensor([[0.0, 0, 100, -100]]))
    torch.testing.assert_close(box[0, 2:] - box[0, :2], torch.tensor([10 / 0.016, 10 * 0.016]))


def test_clip_boxes():
    boxes = torch.tensor([[-1.0, -2, 30, 40, 3, 4, 5, 6]])
    assert clip_boxes(boxes, (10, 20)).tolist() == [[0, 0, 20, 10, 3, 4, 5, 6]]


def test_random_sampler():
    assigned = torch.tensor([0] * 10 + [-1] * 100 + [-2] * 50 + [3] * 10)
    positives, negatives = RandomSampler(16, 0.5)(assigned, torch.Generator().manual_seed(0))
    assert len(set(positives.tolist())) == 8
    assert bool((assigned[positives] >= 0).all())
    assert len(set(negatives.tolist())) == 8
    assert bool((assigned[negatives] == -1).all())
    positives, negatives = RandomSampler(100, 0.5)(assigned)
    assert (len(positives), len(negatives)) == (20, 80)
    positives, negatives = AllSampler()(assigned)
    assert (len(positives), len(negatives)) == (20, 100)


def test_region_sampler_adds_the_targets_and_puts_positives_first():
    targets = Instances(
        boxes=torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]),
        labels=torch.tensor([4, 5, 6]),
        ignored=torch.tensor([False, False, True]),
    )
    proposals = Instances(boxes=torch.tensor([[60.0, 60, 70, 70], [20, 20, 30, 31]]))
    sampler = RegionSampler(MaxIoUAssigner(0.5, 0.5, match_low_quality=False), AllSampler())
    sampled = sampler(proposals, targets, classes=9)
    assert sampled.labels.tolist() == [4, 5, 5, 9]
    assert sampled.matched.tolist() == [0, 1, 1]
    assert sampled.is_target.tolist() == [True, True, False, False]
    assert sampled.boxes[2:].tolist() == proposals.boxes[[1, 0]].tolist()


@pytest.mark.parametrize(
    ("side", "level"), [(1, 0), (111, 0), (112, 1), (223, 1), (224, 2), (447, 2), (448, 3), (5000, 3), (0, 0)]
)
def test_the_level_of_a_region(side, level):
    assert RoIExtractor().levels_of(torch.tensor([[3.0, 4, 3 + side, 4 + side]])).tolist() == [level]


def test_regions_keep_their_order():
    features = [torch.full((1, 2, 64 // 2**i, 64 // 2**i), float(i)) for i in range(4)]
    boxes = torch.tensor([[0.0, 0, 250, 250], [0, 0, 50, 50], [0, 0, 120, 120], [0, 0, 60, 60]])
    out = RoIExtractor(7)(features, [boxes[:2]])
    assert out.mean((1, 2, 3)).tolist() == [2, 0]
    out = RoIExtractor(7)(features, [boxes])
    assert out.mean((1, 2, 3)).tolist() == [2, 0, 1, 0]
    assert RoIExtractor(7)(features, [boxes[:0]]).shape == (0, 2, 7, 7)


def test_codes_of_labels():
    codes = torch.arange(24.0).view(2, 12)
    assert codes_of_labels(codes, torch.tensor([2, 0])).tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
    assert codes_of_labels(codes[:, :4], torch.tensor([2, 0])).tolist() == codes[:, :4].tolist()
    assert codes_of_labels(codes[:0], torch.zeros(0, dtype=torch.int64)).shape == (0, 4)


def test_pasted_masks_equal_the_sampled_grid():
    scores, size = torch.rand(6, 28, 28), (50, 70)
    boxes = torch.tensor(
        [
            [3.2, 4.1, 30.7, 40.2],
            [-10, -5, 20, 20.5],
            [60, 40, 90, 80],
            [10, 10, 10.4, 30],
            [0, 0, 70, 50],
            [90, 90, 99, 99],
        ]
    )
    pasted = paste_masks(scores, boxes, size, 0.5)
    y, x = torch.arange(50) + 0.5, torch.arange(70) + 0.5
    for mask, score, (x1, y1, x2, y2) in zip(pasted, scores, boxes.tolist()):
        grid_x, grid_y = (x - x1) / (x2 - x1) * 2 - 1, (y - y1) / (y2 - y1) * 2 - 1
        grid = torch.stack([grid_x.expand(50, 70), grid_y[:, None].expand(50, 70)], dim=-1)
        expected = F.grid_sample(score[None, None], grid[None], align_corners=False)[0, 0]
        near = (expected - 0.5).abs() < 1e-4  # where rounding decides
        assert bool(((mask == (expected >= 0.5)) | near).all())


def test_a_box_without_area_has_no_mask():
    boxes = torch.tensor([[5.0, 5, 5, 9], [5, 5, 5, 5]])
    assert not paste_masks(torch.ones(2, 28, 28), boxes, (20, 20)).any()


@pytest.mark.parametrize("extra", ["pool", "on_input", "on_lateral", "on_output"])
def test_extra_levels_of_the_pyramid(extra):
    neck = FPN([8, 16, 32], 4, 5, start_level=1, extra=extra, relu_before_extra=True)
    features = [torch.randn(1, c, s, s) for c, s in ((8, 32), (16, 16), (32, 8))]
    out = neck(features)
    assert [tuple(x.shape[1:]) for x in out] == [(4, 16, 16), (4, 8, 8), (4, 4, 4), (4, 2, 2), (4, 1, 1)]
    lateral = neck.lateral_convs[1](features[2])
    torch.testing.assert_close(out[1], neck.fpn_convs[1](lateral))
    fine = neck.lateral_convs[0](features[1]) + lateral.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(out[0], neck.fpn_convs[0](fine))
    if extra == "pool":
        torch.testing.assert_close(out[2], out[1][..., ::2, ::2])
    else:
        source = {"on_input": features[2], "on_lateral": lateral, "on_output": out[1]}[extra]
        torch.testing.assert_close(out[2], neck.fpn_convs[2](source))
        torch.testing.assert_close(out[3], neck.fpn_convs[3](out[2].relu()))


def test_the_wrong_number_of_maps_is_refused():
    with pytest.raises(ValueError, match="expects 2 feature maps, got 1"):
        FPN([8, 16], 4, 3)([torch.zeros(1, 8, 4, 4)])
    with pytest.raises(ValueError, match="at least the 2 maps"):
        FPN([8, 16], 4, 1)


def test_channel_mapper():
    neck = ChannelMapper([8, 16], 4, 1, levels=4, relu=False)
    out = neck([torch.randn(1, 8, 16, 16), torch.randn(1, 16, 8, 8)])
    assert [tuple(x.shape[1:]) for x in out] == [(4, 16, 16), (4, 8, 8), (4, 4, 4), (4, 2, 2)]


def test_path_aggregation_adds_up_from_the_finest_map():
    neck = PAFPN([8, 16, 32], 4, 4)
    features = [torch.randn(1, c, s, s) for c, s in ((8, 32), (16, 16), (32, 8))]
    plain = FPN([8, 16, 32], 4, 4)
    plain.load_state_dict({name: value for name, value in neck.state_dict().items() if name in plain.state_dict()})
    fine, middle, coarse, _ = plain(features)
    middle = middle + neck.downsample_convs[0](fine)
    coarse = coarse + neck.downsample_convs[1](middle)
    last = neck.pafpn_convs[1](coarse)
    for found, expected in zip(neck(features), (fine, neck.pafpn_convs[0](middle), last, last[..., ::2, ::2])):
        torch.testing.assert_close(found, expected)


def test_an_image_without_positive_anchors_counts_one():
    grid = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [8, 8, 16, 16]])
    outputs = RPNOutputs([torch.zeros(1, 4)], [torch.zeros(1, 4, 4)], [grid[None]], [grid])
    images = ImageList(torch.zeros(1, 3, 16, 16), [(16, 16)], [(16, 16)], [(1.0, 1.0)])
    criterion = RPNCriterion(MaxIoUAssigner(0.7, 0.3), RandomSampler(), CodeRegression())
    losses = criterion(outputs, images, [Instances.empty()], DeltaCoder())
    assert losses["loss_rpn_class"].item() == pytest.approx(4 * math.log(2) / 5)
    losses = criterion(outputs, images, [Instances(boxes=torch.tensor([[0.0, 0, 8, 4]]))], DeltaCoder())
    assert losses["loss_rpn_class"].item() == pytest.approx(math.log(2))  # the best anchor learns it
    assert losses["loss_rpn_box"].item() == pytest.approx((0.25 + math.log(2)) / 4)
