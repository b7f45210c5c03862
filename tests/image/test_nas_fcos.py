"""NAS-FCOS's pyramid and head: how maps are joined, sizes, which parameters start as what."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vidperc.image.heads.nas_fcos import NASFCOSPredictor
from vidperc.image.necks.nas_fcos import NASFCOSFPN, ConcatCell, NormConv


def test_each_output_channel_joins_two_neighbours_after_the_relu():
    conv = NormConv(4, 2).eval()
    conv.conv.weight.data = torch.tensor([[1.0, 10], [100, 1000]])[..., None, None]
    x = torch.tensor([2.0, -3, 4, 5])[None, :, None, None]
    expected = torch.tensor([2.0, 100 * 4 + 1000 * 5])
    torch.testing.assert_close(conv(x).flatten(), expected, rtol=1e-4, atol=0)


def test_a_cell_takes_the_finer_size():
    cell = ConcatCell(32, second_conv=False).eval()
    seen = []
    cell.out_conv.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    coarse = torch.arange(4.0).view(1, 1, 2, 2).expand(1, 32, 2, 2)
    assert cell(torch.rand(1, 32, 4, 4), coarse).shape == (1, 32, 4, 4)
    # the second map is taken as it is, each pixel to the four that it covers
    assert seen[0][0, 32].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("size", [(64, 96), (40, 56)])
def test_levels_have_the_sizes_of_their_stride(size):
    neck = NASFCOSFPN((4, 8, 16, 32), 32).eval()
    maps = [torch.rand(1, 4 * 2**i, -(-size[0] // (4 * 2**i)), -(-size[1] // (4 * 2**i))) for i in range(4)]
    expected = [(-(-size[0] // s), -(-size[1] // s)) for s in (8, 16, 32, 64, 128)]
    assert [tuple(level.shape[2:]) for level in neck(maps)] == expected
    with pytest.raises(ValueError, match="expects 4 feature maps, got 3"):
        neck(maps[1:])


def test_the_head_is_the_found_one():
    head = NASFCOSPredictor(classes=3, in_channels=32, channels=32)
    kinds = [(type(part.conv).__name__, part.conv.weight.shape[-1]) for part in head.cls_convs]
    assert kinds == [("ModulatedDeformConv", 3), ("Conv2d", 3), ("ModulatedDeformConv", 3), ("Conv2d", 1)]
    assert head.cls_convs[0].conv.conv_offset.out_channels == 2 * 3 * 9
    # sampling points are spread from the beginning on
    assert head.cls_convs[0].conv.conv_offset.weight.std() > 0.01
    assert torch.sigmoid(head.conv_cls.bias).tolist() == pytest.approx([0.01] * 3)
    assert isinstance(head.cls_convs[3].norm, nn.GroupNorm)
