"""Suppression by class, and the choice of candidates."""

from __future__ import annotations

import torch
from torchvision.ops import batched_nms

from vidperc.image.heads.dense_postprocess import best_pairs
from vidperc.image.postprocess import class_nms, multiclass_nms


def test_only_boxes_of_the_same_class_suppress():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8]])
    keep = class_nms(boxes, torch.tensor([0.5, 0.9, 0.7]), torch.tensor([3, 3, 1]), 0.5)
    assert keep.tolist() == [1, 2]


def test_equals_torchvision_on_many_boxes():
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(3000, 2, generator=generator) * 300
    boxes = torch.cat((corner, corner + 5 + 60 * torch.rand(3000, 2, generator=generator)), dim=1)
    scores, labels = torch.rand(3000, generator=generator), torch.randint(0, 5, (3000,), generator=generator)
    assert torch.equal(class_nms(boxes, scores, labels, 0.5), batched_nms(boxes, scores, labels, 0.5))


def test_factors_come_after_the_threshold():
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    scores = torch.tensor([[0.6, 0.1], [0.4, 0.26]])
    found = multiclass_nms(boxes, scores, score_threshold=0.25, iou_threshold=0.5, factors=torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(found.scores, torch.tensor([0.4, 0.3, 0.26]))
    assert found.labels.tolist() == [0, 0, 1]


def test_a_box_for_every_class_and_a_limit():
    boxes = torch.tensor([[0.0, 0, 10, 10, 50, 50, 60, 60]])
    found = multiclass_nms(boxes, torch.tensor([[0.3, 0.8]]), score_threshold=0.0, iou_threshold=0.5, max_detections=1)
    assert found.boxes.tolist() == [[50, 50, 60, 60]]
    assert found.labels.tolist() == [1]


def test_no_boxes():
    for width in (4, 12):
        found = multiclass_nms(torch.zeros(0, width), torch.zeros(0, 3), score_threshold=0.0, iou_threshold=0.5)
        assert found.boxes.shape == (0, 4)
        assert found.labels.dtype == torch.int64


def test_the_best_pairs_of_each_level_and_image():
    values = torch.tensor([[[5.0, 1], [4, 3], [0, 9]], [[1, 1], [7, 2], [1, 8]]])  # levels of 2 and 1 priors
    image, prior, label, value = best_pairs(values, [2, 1], 1.5, 2)
    rows = list(zip(image.tolist(), prior.tolist(), label.tolist(), value.tolist()))
    assert rows == [(0, 0, 0, 5), (0, 1, 0, 4), (0, 2, 1, 9), (1, 1, 0, 7), (1, 1, 1, 2), (1, 2, 1, 8)]
