"""Mask Scoring R-CNN: what it learns by hand, and that it learns."""

from __future__ import annotations

import fiddle as fdl
import numpy as np
import pytest
import torch
from learning import learns, learns_of_nothing
from test_two_stage import shrink
from vidperc.configs.det.ms_rcnn import ms_rcnn_r50_fpn_1x_coco

from vidperc import Instances
from vidperc.data.readers.common import read_json
from vidperc.engine.detection import read_predictions, write_predictions
from vidperc.evaluation.coco import COCOEvaluator
from vidperc.export.detections import coco_rows, write_coco_results
from vidperc.image.roi_heads.mask_scoring import MaskIoUHead, inside_shares_of, iou_targets
from vidperc.image.roi_heads.sampling import SampledRegions
from vidperc.structures.masks import encode_masks


def small() -> fdl.Config:
    model = shrink(ms_rcnn_r50_fpn_1x_coco().model)
    model.roi_head.mask.iou_head = fdl.Config(MaskIoUHead, 16, classes=3, channels=16, hidden=32)
    return model


def test_it_learns():
    assert {"loss_mask", "loss_mask_iou"} <= learns(small()).keys()


def test_no_targets_give_finite_losses():
    assert float(learns_of_nothing(small())["loss_mask_iou"].detach()) == 0


def test_the_iou_of_a_predicted_mask_with_the_whole_object():
    """A pixel is predicted where its logit, not its score, is above one half."""
    logits = torch.tensor([[[9.0, 0.6], [0.4, -9]], [[-1, -1], [-1, -1]], [[-1, -1], [-1, -1]]])
    truth = torch.tensor([[[1.0, 0], [1, 0]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]])
    # Two pixels predicted, one of them right; the object has two here, half of its four.
    wanted = iou_targets(logits, truth, torch.tensor([0.5, 1, 1]))
    assert wanted.tolist() == pytest.approx([1 / (2 + 4 - 1), 0, 0], abs=1e-6)


def test_the_share_of_an_object_inside_a_region():
    masks = torch.zeros(2, 10, 20, dtype=torch.bool)
    masks[0, 2:6, 4:14] = True  # 40 pixels
    masks[1, 9, 19] = True
    boxes = torch.tensor([[4.9, 2.9, 9.9, 20], [-3, -2, 2, 1], [6.2, 3.1, 6.8, 3.3], [25, 15, 30, 18], [19, 9, 25, 12]])
    matched, nothing = torch.tensor([0, 0, 0, 1, 1]), torch.zeros(5, dtype=torch.int64)
    sampled = SampledRegions(boxes, nothing, matched, boxes, nothing.bool())
    targets = Instances(boxes=torch.zeros(2, 4), masks=masks)
    # Columns 4 to 8 and rows 2 to 5; nothing; one pixel at least; beyond the picture; the last pixel.
    assert inside_shares_of(sampled, targets).tolist() == pytest.approx([20 / 40, 0, 1 / 40, 0, 1], abs=1e-6)


def test_only_ious_above_zero_are_learnt():
    model = fdl.build(small()).train()
    branch = model.roi_head.mask
    for parameter in branch.iou_head.fc_mask_iou.parameters():
        parameter.data.zero_()
    branch.heads[0].conv_logits.weight.data.zero_()
    branch.heads[0].conv_logits.bias.data = torch.tensor([9.0, -9, 9])  # class 1 is nowhere predicted
    masks = torch.ones(2, 64, 96, dtype=torch.bool)
    boxes = torch.tensor([[0.0, 0, 48, 64], [0, 0, 48, 64]])
    sampled = SampledRegions(boxes, torch.tensor([0, 1]), torch.tensor([0, 1]), boxes, torch.ones(2, dtype=torch.bool))
    features = [torch.zeros(1, 16, 64 // s, 96 // s) for s in (4, 8, 16, 32, 64)]
    losses = branch.loss(features, [sampled], [Instances(boxes=boxes, labels=torch.tensor([0, 1]), masks=masks)])
    # The first has the IoU 1/2 of the region with the picture, the second none; half the squared error of 0.
    assert float(losses["loss_mask_iou"].detach()) == pytest.approx(0.5 * 0.5**2, abs=1e-5)


def test_masks_rank_by_their_own_scores(tmp_path):
    model = fdl.build(small()).eval()
    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    found = model.predict([picture])[0]
    assert found.mask_scores.shape == found.scores.shape
    assert not torch.equal(found.mask_scores, found.scores)
    write_predictions(tmp_path / "x.json", [found])
    torch.testing.assert_close(
        read_predictions(tmp_path / "x.json")[0].mask_scores, found.mask_scores, atol=1e-6, rtol=0
    )

    masks = torch.zeros(2, 10, 10, dtype=torch.bool)
    masks[0, :5, :5] = True
    masks[1, 5:, 5:] = True
    boxes = torch.tensor([[0.0, 0, 5, 5], [5, 5, 10, 10]])
    labels, scores = torch.tensor([0, 0]), torch.tensor([0.9, 0.1])
    both = Instances(boxes, labels, scores, masks, mask_scores=torch.tensor([0.1, 0.9]))
    for kind, expected in (("bbox", 1.0), ("segm", 0.5)):  # the truth is first among boxes, second among masks
        evaluator = COCOEvaluator(("thing",), kind)
        evaluator.process("a", [both], [both[:1]])
        assert evaluator.evaluate()["AP50"] == pytest.approx(expected, abs=0.01)
    plain = {
        "boxes": boxes.tolist(), "labels": [0, 0], "scores": [0.9, 0.1], "masks": encode_masks(masks),
        "mask_scores": [0.1, 0.9],
    }  # fmt: skip
    files = write_coco_results(tmp_path, coco_rows(1, plain, [1]))
    assert [[row["score"] for row in read_json(path)] for path in files] == [[0.9, 0.1], [0.1, 0.9]]
    assert all("mask_score" not in row for path in files for row in read_json(path))
