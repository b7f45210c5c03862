"""Double-Head R-CNN's parts, by hand."""

from __future__ import annotations

import torch

from vidperc.image.roi_heads.double_head import DoubleBoxHead, DoubleExtractor, WeightedCriterion, enlarge
from vidperc.image.roi_heads.extractor import RoIExtractor


def test_boxes_grow_about_their_centres():
    assert enlarge(torch.tensor([[10.0, 20, 30, 60]]), 1.5).tolist() == [[5, 10, 35, 70]]


def test_both_features_come_from_the_level_of_the_region_itself():
    features = [torch.full((1, 2, 64 // 2**i, 64 // 2**i), float(i)) for i in range(4)]
    boxes = torch.tensor([[80.0, 80, 180, 180], [60, 60, 172, 172], [60, 60, 171.9, 171.9]])  # 1.3 * 100 is over 112
    out = DoubleExtractor(7)(features, [boxes])
    assert out.shape == (3, 4, 7, 7)
    assert out.mean((2, 3)).tolist() == [[0] * 4, [1] * 4, [0] * 4]
    ramp = torch.arange(64.0).expand(1, 1, 64, 64)
    of_class, of_box = DoubleExtractor(7, (4,), enlargement=1.5)([ramp], [boxes[:1]]).chunk(2, 1)
    torch.testing.assert_close(of_class, RoIExtractor(7, (4,))([ramp], [boxes[:1]]))
    torch.testing.assert_close(of_box, RoIExtractor(7, (4,))([ramp], [torch.tensor([[55.0, 55, 205, 205]])]))


def test_classes_and_boxes_see_their_own_features():
    head = DoubleBoxHead(4, classes=3, roi_size=2, hidden=8, channels=16, blocks=1).eval()
    for layer in (head.fc_cls, head.fc_reg):
        torch.nn.init.normal_(layer.weight)
    regions = torch.rand(2, 8, 2, 2)
    other = regions.clone()
    other[:, :4] += 1
    before, after = head(regions), head(other)
    assert before.logits.shape == (2, 4)
    assert before.codes.shape == (2, 12)
    torch.testing.assert_close(before.codes, after.codes)
    assert not torch.allclose(before.logits, after.logits)


def test_losses_are_weighted():
    criterion = WeightedCriterion(lambda *_: {"a": torch.tensor(1.5), "b": torch.tensor(0.5)})
    assert {name: loss.item() for name, loss in criterion(None, None, None).items()} == {"a": 3, "b": 1}
