"""Side-aware boundary localisation: codes, assignment and losses by hand."""

from __future__ import annotations

import math

import pytest
import torch

from vidperc import Instances
from vidperc.image.assigners import ApproxMaxIoUAssigner, MaxIoUAssigner
from vidperc.image.bucket_coder import BucketCoder
from vidperc.image.heads.dense import DenseOutputs
from vidperc.image.heads.matching import join
from vidperc.image.heads.sabl import SABLCriterion, SABLPostprocessor
from vidperc.image.priors import AnchorGenerator
from vidperc.image.roi_heads.box_head import BoxOutputs
from vidperc.image.roi_heads.sabl import SABLBoxCriterion, SABLBoxPostprocessor, SABLHead
from vidperc.image.roi_heads.sampling import SampledRegions
from vidperc.structures import ImageList

# The prior enlarged by two is (-5, -10, 15, 30): buckets 5 wide and 10 high, centred at
# -2.5 and 2.5 from the left, 12.5 and 7.5 from the right, -5 and 5 from above, 25 and 15 from below.
CODER, PRIOR, BOX = BucketCoder(4, 2.0), torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[1.0, -6, 9, 21]])
OFFSETS = torch.tensor([[[-0.7, 0.3], [0.7, -0.3], [0.1, 1.1], [0.4, -0.6]]])
BUCKETS = torch.tensor([[[0.0, 1], [0, 1], [1, 0], [1, 0]]])
IMAGE = ImageList(torch.zeros(1, 3, 40, 40), [(40, 40)], [(40, 40)], [(1.0, 1.0)])


def test_what_the_buckets_of_each_side_learn():
    goal = CODER.encode(PRIOR, BOX)
    torch.testing.assert_close(goal.offsets, OFFSETS)
    assert torch.equal(goal.buckets, BUCKETS)
    # beside the nearest bucket only those farther than a width are told that the side is not theirs
    assert goal.bucket_weights.tolist() == [[[0, 1], [0, 1], [1, 1], [1, 0]]]
    assert goal.offset_weights.tolist() == [[[1, 1], [1, 1], [1, 0], [1, 1]]]


def test_boxes_are_where_the_best_buckets_say():
    codes = torch.cat((BUCKETS, OFFSETS), dim=-1)
    torch.testing.assert_close(CODER.decode(PRIOR, codes), BOX)
    assert CODER.decode(PRIOR, codes, (15, 8)).tolist() == [[1, 0, 7, 14]]
    torch.testing.assert_close(CODER.decode(PRIOR.repeat(2, 3, 1), codes.repeat(2, 3, 1, 1)), BOX.repeat(2, 3, 1))


def test_two_best_buckets_side_by_side_are_sure_together():
    scores = torch.tensor([[[0.5, 0.2, 0.3]] * 2 + [[0.2, 0.5, 0.3]] * 2])
    codes = torch.cat((scores.log(), torch.zeros(1, 4, 3)), dim=-1)
    assert BucketCoder(6).confidence(codes).item() == pytest.approx((0.5 + 0.8) / 2)


def test_a_prior_overlaps_as_its_best_anchor():
    anchors = AnchorGenerator((8,), (0.25, 1.0), (2.0,))  # 32 wide and 8 high, 16 wide and 16 high
    squares = AnchorGenerator((8,), (1.0,), (2.0,))
    priors = torch.cat(squares([(1, 2)]))  # centred at (0, 0) and (8, 0)
    levels = DenseOutputs(priors, [2], torch.zeros(1, 2, 1), torch.zeros(1, 2, 4))
    wide = Instances(boxes=torch.tensor([[-16.0, -4, 16, 4]]))
    # IoU with the squares: 128 of 384 and 128 of 384; with the wide anchors 1 and 192 of 320
    options = {"positive": 0.7, "negative": 0.65, "match_low_quality": False}
    assert MaxIoUAssigner(**options)(priors, wide).tolist() == [-1, -1]
    assert ApproxMaxIoUAssigner(anchors, **options)(priors, wide, levels).tolist() == [0, -1]
    assert ApproxMaxIoUAssigner(anchors, **options)(priors, Instances.empty(), levels).tolist() == [-1, -1]
    with pytest.raises(ValueError, match="predictions"):
        ApproxMaxIoUAssigner(anchors)(priors, wide)


def test_images_without_positives_count_as_one():
    targets = [Instances(boxes=BOX, labels=torch.tensor([0])) for _ in range(3)]
    assigned = torch.tensor([[0, 0, -1], [-1, -1, -1], [-1, 0, -1]])
    assert join(assigned, PRIOR.repeat(3, 1), targets).count(3) == 4


def test_dense_losses_by_hand():
    outputs = DenseOutputs(PRIOR, [1], torch.zeros(1, 1, 1), torch.zeros(1, 1, 16))
    criterion = SABLCriterion(assigner=MaxIoUAssigner(0.5, 0.4), coder=CODER)  # IoU 160 / 256
    losses = criterion(outputs, IMAGE, [Instances(boxes=BOX, labels=torch.tensor([0]))])
    assert losses["loss_class"].item() == pytest.approx(0.25 * 0.25 * math.log(2))
    assert losses["loss_bucket"].item() == pytest.approx(1.5 * 5 * math.log(2) / 8)
    offsets = 0.7 + 0.3 + 0.7 + 0.3 + 0.4 + 0.6 - 6 / 18 + 0.5 * 0.1**2 * 9
    assert losses["loss_offset"].item() == pytest.approx(1.5 * offsets / 8)


def test_region_losses_by_hand():
    regions = SampledRegions(
        boxes=torch.cat((PRIOR, PRIOR + 100)),
        labels=torch.tensor([0, 1]),
        matched=torch.tensor([0]),
        target_boxes=BOX,
        is_target=torch.zeros(2, dtype=torch.bool),
    )
    losses = SABLBoxCriterion()(BoxOutputs(torch.zeros(2, 2), torch.zeros(2, 4, 4)), [regions], CODER)
    assert losses["loss_class"].item() == pytest.approx(math.log(2))
    assert losses["loss_bucket"].item() == pytest.approx(5 * math.log(2) / (4 * 2))
    assert losses["loss_offset"].item() == pytest.approx((3.0 - 6 * 0.05 + 0.05) / 2)


def test_scores_are_multiplied_with_how_sure_the_sides_are():
    logits, uneven = torch.tensor([[[2.0]]]), torch.tensor([0.5, 0.2, 0.3]).log()
    coder = BucketCoder(6, 2.0)
    codes = torch.cat((uneven.expand(1, 4, 3), torch.zeros(1, 4, 3)), dim=-1)
    dense = SABLPostprocessor(coder=coder)(DenseOutputs(PRIOR, [1], logits, codes.view(1, 1, -1)), IMAGE)[0]
    assert dense.scores.item() == pytest.approx(0.5 / (1 + math.exp(-2)))
    region = SABLBoxPostprocessor()(BoxOutputs(torch.tensor([[2.0, 0.0]]), codes), [PRIOR], IMAGE, coder)[0]
    torch.testing.assert_close(region.scores, dense.scores)
    torch.testing.assert_close(region.boxes, dense.boxes)
    assert region.boxes[0].tolist() == pytest.approx([0, 0, 15 - 10 / 6, 30 - 20 / 6])  # 10 / 6 inside the enlarged


def test_both_sides_are_read_from_the_outside():
    head = SABLHead(8, classes=3, roi_size=2, hidden=4)
    line = torch.arange(4.0)[None, :, None].repeat(1, 1, 8)  # positions 0 to 3
    with torch.no_grad():
        for layer in (head.fc_reg_cls, head.fc_reg_offset):
            layer.weight.fill_(1 / 8)
    assert head.sides(line)[0].tolist() == [[0, 1, 0, 1], [3, 2, 3, 2]]
    assert head(torch.randn(5, 8, 2, 2)).codes.shape == (5, 4, 4)
