"""Feature pyramid grids and NAS-FPN against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidperc.image.necks.fpg import FPG
from vidperc.image.necks.nas_fpn import NASFPN, NASFPNStage, gated, resize


@torch.no_grad()
def test_a_grid_by_its_definition():
    torch.manual_seed(0)
    neck = FPG([3, 4], 5, channels=6, levels=3, pathways=3).eval()
    for part in neck.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
    features = [torch.randn(1, 3, 8, 12), torch.randn(1, 4, 4, 6)]
    lateral = [conv(x) for conv, x in zip(neck.lateral_convs, features)]
    grid = [[*lateral, lateral[1][..., ::2, ::2]]]
    for pathway in range(3):
        row: list[torch.Tensor] = []
        for level in range(3):
            if pathway + level < 2:  # the triangle before the level takes part
                row.append(grid[-1][level])
                continue
            moves = neck.fpn_transitions[pathway][level]
            x = moves["across_lateral"](grid[-1][level].relu()) + moves["across_skip"](grid[0][level].relu())
            if level > 0:
                x = x + moves["same_up"](row[-1].relu())
            if level < 2:
                x = x + moves["across_down"](grid[-1][level + 1].relu().repeat_interleave(2, 2).repeat_interleave(2, 3))
            row.append(x)
        grid.append(row)
    for conv, found, expected in zip(neck.output_transition, neck(features), grid[-1]):
        torch.testing.assert_close(found, conv(expected.relu()), rtol=1e-4, atol=1e-5)
    assert not any("fpn_transitions.0.0" in name or "fpn_transitions.0.1" in name for name in neck.state_dict())


def test_extra_levels_of_a_grid_by_convolutions():
    neck = FPG([3, 4], 5, channels=6, levels=3, pathways=0, start_level=1, conv_extra=True)
    x = torch.randn(1, 4, 8, 12)
    levels = [neck.lateral_convs[0](x)]
    for conv in neck.extra_downsamples:
        levels.append(conv(levels[-1]))
    for conv, found, expected in zip(neck.output_transition, neck([torch.zeros(1, 3, 16, 24), x]), levels):
        torch.testing.assert_close(found, conv(expected.relu()))
    with pytest.raises(ValueError, match="FPG expects 2 feature maps, got 1"):
        neck([x])


def test_maps_take_the_size_of_others():
    x = torch.arange(8.0).view(1, 1, 2, 4)
    assert resize(x, torch.zeros(1, 1, 1, 2)).flatten().tolist() == [5, 7]
    assert resize(x, torch.zeros(1, 1, 2, 8))[0, 0, 1].tolist() == [4, 4, 5, 5, 6, 6, 7, 7]
    assert resize(x, x) is x
    with pytest.raises(ValueError, match="2x4 does not shrink to 1x3"):
        resize(x, torch.zeros(1, 1, 1, 3))


def test_a_gate_asks_by_the_mean_of_the_other():
    x, other = torch.full((1, 2, 1, 2), 10.0), torch.tensor([[[[1.0, -1]], [[2, 4]]]])
    at_three = 10 / (1 + torch.tensor(-3.0).exp())
    torch.testing.assert_close(gated(x, other)[0, :, 0], torch.stack([other[0, 0, 0] + 5, other[0, 1, 0] + at_three]))


def test_the_searched_connections():
    stage = NASFPNStage(1).eval()
    for cell in stage.children():
        nn.init.zeros_(cell.out_conv.conv.weight)
        cell.out_conv.conv.weight.data[..., 1, 1] = (1 + cell.out_conv.norm.eps) ** 0.5  # the norm undoes this
        nn.init.zeros_(cell.out_conv.conv.bias)
    value = {3: 1.0, 4: 2.0, 5: 3.0, 6: 4.0, 7: 5.0}  # of maps that are even, so that no size matters

    def gate(x: float, other: float) -> float:
        return other + x * torch.tensor(other).sigmoid().item()

    mixed = gate(value[6], value[4]) + value[4]
    p3 = mixed + value[3]
    p4 = p3 + mixed
    p5 = value[5] + gate(p4, p3)
    p7 = value[7] + gate(p5, mixed)
    p6 = gate(p7, p5)
    maps = [torch.full((1, 1, 2 ** (7 - level), 2 ** (8 - level)), value[level]) for level in range(3, 8)]
    out = stage(maps)
    assert [x.shape for x in out] == [x.shape for x in maps]
    assert [x.mean().item() for x in out] == pytest.approx([p3, p4, p5, p6, p7], rel=1e-5)
    assert max(x.std().item() for x in out) < 1e-4
    assert stage([-x for x in maps])[0].abs().max() == 0  # a ReLU is before every convolution


def test_levels_of_nas_fpn():
    neck = NASFPN([2, 3, 4, 5], 6, stages=0)
    features = [torch.randn(1, c, 64 // 2**i, 64 // 2**i) for i, c in enumerate((2, 3, 4, 5))]
    out = neck.eval()(features)
    assert [tuple(x.shape[1:]) for x in out] == [(6, 32, 32), (6, 16, 16), (6, 8, 8), (6, 4, 4), (6, 2, 2)]
    torch.testing.assert_close(out[4], F.max_pool2d(neck.extra_downsamples[1][0](out[3]), 2))
    with pytest.raises(ValueError, match="takes three feature maps, got 2"):
        NASFPN([2, 3, 4], 6)
    with pytest.raises(ValueError, match="NAS-FPN expects 4 feature maps, got 3"):
        neck(features[1:])
