"""GRoIE: the sum over levels by hand, its attention against a loop; and that it learns."""

from __future__ import annotations

import fiddle as fdl
import pytest
import torch
from learning import learns, learns_of_nothing
from test_two_stage import shrink
from vidperc.configs.det.groie import faster_rcnn_r50_fpn_groie_1x_coco, mask_rcnn_r50_fpn_groie_1x_coco

from vidperc.image.backbones.empirical_attention import DistanceAttention
from vidperc.image.roi_heads.groie import AllLevelsRoIExtractor


def small(config: fdl.Config) -> fdl.Config:
    model = shrink(config.model)
    for part in (model.roi_head, getattr(model.roi_head, "mask", None)):
        if part is not None:
            part.extractor.channels, part.extractor.heads, part.extractor.kernel_size = 16, 2, 3
    model.roi_head.sampler.sampler.count = 16
    return model


def test_it_learns():
    learns(small(faster_rcnn_r50_fpn_groie_1x_coco()), lr=1e-2)


def test_no_targets_give_finite_losses():
    losses = learns_of_nothing(small(mask_rcnn_r50_fpn_groie_1x_coco()))
    assert float(losses["loss_mask"].detach()) == 0


def test_all_levels_are_convolved_and_summed():
    extractor = AllLevelsRoIExtractor(2, channels=4, strides=(4, 8), kernel_size=1, heads=1)
    extractor.pre_module.conv.weight.data = torch.eye(4)[:, :, None, None]
    extractor.pre_module.conv.bias.data = torch.tensor([0.0, -2.5, 1.0, -9.0])
    features = [torch.full((1, 4, 16, 16), 1.0), torch.full((1, 4, 8, 8), 3.0), torch.full((1, 4, 4, 4), 100.0)]
    out = extractor(features, [torch.tensor([[8.0, 8, 40, 40]])])
    # What is below 0 after the convolution is cut off on each level by itself; the last map is not used.
    assert out[0, :, 0, 0].tolist() == pytest.approx([4, 0.5, 6, 0])
    assert extractor(features, [torch.zeros(0, 4)]).shape == (0, 4, 2, 2)


def test_the_attention_against_a_loop():
    torch.manual_seed(3)
    layer = DistanceAttention(5, heads=2, stride=2)  # of 5 channels, 4 are attended with
    layer.gamma.data.fill_(0.7)
    x = torch.randn(1, 5, 3, 3)
    query, value = layer.query_conv(x)[0], layer.value_conv(x)[0]  # (4, 3, 3)

    def away(distance: int, fc: torch.nn.Linear) -> torch.Tensor:
        angle = torch.tensor([float(distance)])  # of one wave length, 1000 ** 0
        return fc(torch.cat([angle.sin(), angle.cos()])) / 2**0.5

    expected = torch.zeros(4, 3, 3)
    for row in range(3):
        for column in range(3):
            for head in (slice(0, 2), slice(2, 4)):
                others = [(i, j) for i in (0, 2) for j in (0, 2)]
                energy = [
                    query[head, row, column] @ away(column - j, layer.appr_geom_fc_x)[head]
                    + query[head, column, row] @ away(row - i, layer.appr_geom_fc_y)[head]
                    for i, j in others
                ]
                weight = torch.stack(energy).softmax(0)
                expected[head, row, column] = sum(w * value[head, i, j] for w, (i, j) in zip(weight, others))
    torch.testing.assert_close(layer(x), x + 0.7 * layer.proj_conv(expected[None]), atol=1e-5, rtol=1e-4)
