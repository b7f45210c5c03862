"""YOLACT: prototypes and masks, fast suppression, its losses on cases checked by hand; that it learns."""

from __future__ import annotations

import math

import fiddle as fdl
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidperc import Instances
from vidperc.image.box_coders import DeltaCoder
from vidperc.image.heads.matching import join
from vidperc.image.heads.yolact import YOLACTAnchors, YOLACTCriterion, YOLACTPostprocessor
from vidperc.image.heads.yolact_masks import MaskLoss, draw_masks, mask_scores, semantic_loss, within
from vidperc.models import get_config
from vidperc.structures import ImageList


def small() -> fdl.Config:
    """The published config on a ResNet-18 of an eighth of the width, for pictures of 96 pixels."""
    model = get_config("yolact_r50_1x8_coco").model
    model.backbone.depth, model.backbone.base_channels = 18, 8
    model.neck.in_channels, model.neck.out_channels = (8, 16, 32, 64), 32
    head = model.head
    head.predictor.in_channels = head.predictor.channels = 32
    head.protonet.in_channels = head.protonet.channels = head.semantic.in_channels = 32
    head.predictor.classes = head.semantic.classes = 3
    head.priors.side, head.priors.cells = 96, (12, 6, 3, 2, 1)
    model.preprocessor.test_scale = (96, 96)
    return model


def images(count: int, size: tuple[int, int]) -> ImageList:
    return ImageList(torch.zeros(count, 3, *size), [size] * count, [size] * count, [(1.0, 1.0)] * count)


def batch() -> tuple[ImageList, list[Instances]]:
    """Two noisy pictures with three bright objects each and their masks."""
    generator = torch.Generator().manual_seed(1)
    given = images(2, (96, 96))
    given.tensor = torch.randn(2, 3, 96, 96, generator=generator)
    boxes = torch.tensor([[4.0, 5, 36, 42], [42, 12, 84, 60], [18, 46, 54, 92]])
    masks = torch.zeros(3, 96, 96, dtype=torch.bool)
    for i, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        given.tensor[:, i, y1:y2, x1:x2] += 3
        masks[i, y1:y2, x1:x2] = True
    return given, [Instances(boxes=boxes, labels=torch.tensor([0, 1, 2]), masks=masks) for _ in range(2)]


def test_thirty_steps_halve_the_loss_and_reach_every_parameter():
    torch.manual_seed(0)
    model = fdl.build(small()).train()
    given, targets = batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for step in range(30):
        total = sum(model.loss(model.extract_features(given), given, targets).values())
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            assert [key for key, value in model.named_parameters() if value.grad is None] == []
        optimizer.step()
        losses.append(total.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0], losses


def test_images_without_objects_train():
    model = fdl.build(small()).train()
    given, targets = batch()
    for each in ([targets[0], Instances.empty()], [Instances.empty()] * 2):
        parts = model.loss(model.extract_features(given), given, each)
        sum(parts.values()).backward()
        assert all(bool(torch.isfinite(value)) for value in parts.values())
    assert parts["loss_mask"] == parts["loss_semantic"] == 0


def test_targets_without_masks_are_told():
    model = fdl.build(small()).train()
    given, targets = batch()
    with pytest.raises(ValueError, match="no masks"):
        model.loss(model.extract_features(given), given, [each.replace(masks=None) for each in targets])


def test_batches_equal_single_images():
    torch.manual_seed(0)
    model = fdl.build(small()).eval()
    torch.nn.init.normal_(model.head.predictor.conv_cls.weight, std=0.2)
    pictures = [np.random.default_rng(i).integers(0, 256, (64, 80, 3), np.uint8) for i in range(2)]
    together = model.predict(pictures)
    for picture, result in zip(pictures, together):
        alone = model.predict([picture])[0]
        assert len(alone) == len(result) > 0
        assert result.masks.shape == (len(result), 64, 80)
        torch.testing.assert_close(alone.boxes, result.boxes, rtol=1e-4, atol=1e-2)
        assert (alone.masks == result.masks).float().mean() > 0.999


def test_nothing_above_the_threshold_is_no_detection():
    config = small()
    config.head.postprocessor.score_threshold = 1.0
    result = fdl.build(config).predict([np.zeros((48, 64, 3), np.uint8)])[0]
    assert result.boxes.shape == (0, 4)
    assert result.masks.shape == (0, 48, 64)


def test_anchors_are_in_the_middle_of_cells():
    anchors = YOLACTAnchors()([(69, 69), (35, 35), (18, 18), (9, 9), (5, 5)])
    assert [len(level) for level in anchors] == [3 * n * n for n in (69, 35, 18, 9, 5)]
    # the second cell of the coarsest level: ratio 1, then 2, of three times 128
    side, tall = 384, (384 / math.sqrt(2), 384 * math.sqrt(2))
    assert anchors[4][4].tolist() == pytest.approx([165 - side / 2, 55 - side / 2, 165 + side / 2, 55 + side / 2])
    assert anchors[4][5].tolist() == pytest.approx(
        [165 - tall[0] / 2, 55 - tall[1] / 2, 165 + tall[0] / 2, 55 + tall[1] / 2], rel=1e-5
    )


def test_masks_end_a_cell_beside_their_boxes():
    inside = within(torch.tensor([[20.0, 0, 60, 40]]), (80, 100), (8, 10))[0]
    expected = torch.zeros(8, 10, dtype=torch.bool)
    expected[0:5, 1:7] = True
    assert torch.equal(inside, expected)


def test_drawn_masks_are_the_interpolated_scores():
    generator = torch.Generator().manual_seed(0)
    prototypes, coefficients = torch.rand(4, 10, 12, generator=generator), torch.randn(3, 4, generator=generator)
    boxes = torch.tensor([[0.0, 0, 90, 70], [30, 20, 55, 41], [80, 60, 90, 70]])
    scores = F.interpolate(
        mask_scores(prototypes, coefficients, boxes, (70, 90))[None], size=(70, 90), mode="bilinear"
    )[0]
    masks = draw_masks(prototypes, coefficients, boxes, (70, 90))
    clear = (scores - 0.5).abs() > 1e-5
    assert torch.equal(masks[clear], (scores > 0.5)[clear])


def test_fast_suppression_lets_fallen_boxes_suppress():
    """Of boxes 10, 6 and 4 high the second falls by the first, and the third by the second."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 4]])
    scores = torch.tensor([[0.7, 0.04], [0.9, 0.04], [0.8, 0.06]])[[1, 2, 0]]
    found, rows = YOLACTPostprocessor(coder=DeltaCoder()).suppress(boxes, scores)
    assert found.labels.tolist() == [0, 1]
    assert rows.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.06])


def test_three_negatives_per_positive_or_all():
    """Scores of background are given by the difference d to the one class: a negative costs log(1 + e^d)."""
    differences = torch.tensor([[0.0, 0, 1, 2, -1, 5], [0, 0, 1, 2, -1, 5]])
    logits = torch.stack((differences, torch.zeros(2, 6)), dim=-1)
    target = Instances(boxes=torch.tensor([[0.0, 0, 8, 8]]), labels=torch.tensor([0]))
    assigned = torch.tensor([[0, -1, -1, -1, -1, -2], [-1] * 6])
    matches = join(assigned, torch.zeros(6, 4), [target, Instances.empty()])
    criterion = YOLACTCriterion(assigner=None, coder=DeltaCoder(), mask_loss=MaskLoss())
    loss = criterion.class_loss(logits, matches, torch.tensor([1, 0]))
    negative = [math.log1p(math.exp(d)) for d in (0, 0, 1, 2, -1, 5)]
    assert loss.item() == pytest.approx(math.log(2) + sum(negative[1:4]) + sum(negative), rel=1e-5)


def test_mask_loss_weighs_by_the_size_of_boxes():
    """Scores are 1/2 everywhere; the second box takes half of the picture, and so counts twice."""
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 10, 20]])
    target = Instances(boxes=boxes, labels=torch.tensor([0, 0]), masks=torch.ones(2, 20, 20, dtype=torch.bool))
    matches = join(torch.tensor([[0, 1, -1]]), torch.zeros(3, 4), [target])
    loss = MaskLoss()(torch.zeros(1, 4, 2, 2), torch.zeros(2, 4), matches, images(1, (20, 20)), [target])
    assert loss.item() == pytest.approx(6.125 * (math.log(2) + 2 * math.log(2)) / 2)


def test_mask_loss_looks_at_so_many_masks_at_most():
    boxes = torch.tensor([[0.0, 0, 20, 20]])
    target = Instances(boxes=boxes, labels=torch.tensor([0]), masks=torch.ones(1, 20, 20, dtype=torch.bool))
    matches = join(torch.zeros(1, 5, dtype=torch.int64), torch.zeros(5, 4), [target])
    loss = MaskLoss(most=2)(torch.zeros(1, 4, 2, 2), torch.zeros(5, 4), matches, images(1, (20, 20)), [target])
    assert loss.item() == pytest.approx(6.125 * math.log(2))


def test_semantic_loss_of_the_first_class_is_in_the_last_channel():
    target = Instances(
        boxes=torch.tensor([[0.0, 0, 4, 4]]), labels=torch.tensor([0]), masks=torch.ones(1, 4, 4, dtype=torch.bool)
    )
    logits = torch.tensor([0.0, 3.0]).view(1, 2, 1, 1).repeat(2, 1, 1, 1)
    loss = semantic_loss(logits, images(2, (4, 4)), [target, Instances.empty()])
    assert loss.item() == pytest.approx((math.log(2) + math.log1p(math.exp(-3))) / 2)
