"""The dynamic head, by hand."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from vidperc.image.necks.dyhead import DyHead, DyHeadBlock, DyReLU, GuidedConv

CHANNELS = 32


def test_the_activation_begins_as_a_relu_and_takes_the_larger_line():
    activation = DyReLU(4)
    for value in activation.parameters():
        nn.init.zeros_(value)
    x = torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(activation(x), x.relu())
    # Hard sigmoids of 3, 1.5, 0 and -3 are 1, 0.75, 0.5 and 0: lines 2 x + 0.25 and 0 x - 0.5.
    nn.init.constant_(activation.conv2.conv.bias, 0)
    activation.conv2.conv.bias.data = torch.tensor([3.0, 1.5, 0, -3]).repeat_interleave(4)
    torch.testing.assert_close(activation(x), torch.maximum(2 * x + 0.25, torch.full_like(x, -0.5)))


def test_offsets_of_a_coarser_level_are_the_first_values():
    guide = torch.arange(2 * 3 * 4 * 6).view(2, 3, 4, 6)
    found = DyHeadBlock.offsets_of_coarser(guide, torch.zeros(2, 9, 2, 3))
    assert found[0].flatten().tolist() == list(range(18))
    assert found[1].flatten().tolist() == list(range(72, 90))


def test_guided_convolution_samples_where_it_is_told():
    conv = GuidedConv(CHANNELS).eval()
    conv.norm = nn.Identity()
    x = torch.randn(1, CHANNELS, 5, 7)
    offsets, masks = torch.zeros(1, 18, 5, 7), torch.full((1, 9, 5, 7), 0.5)
    torch.testing.assert_close(conv(x, offsets, masks), 0.5 * F.conv2d(x, conv.weight, padding=1), rtol=1e-4, atol=1e-5)
    offsets[:, 1::2] = 1  # one column to the right
    shifted = F.pad(x, (0, 1))[..., 1:]
    expected = F.conv2d(F.pad(shifted, (1, 1, 1, 1)), conv.weight)
    expected[..., 0] += torch.einsum("oiy,niyh->noh", conv.weight[..., 0], rows_around(x[..., 0]))
    torch.testing.assert_close(conv(x, offsets, 2 * masks), expected, rtol=1e-4, atol=1e-5)


def rows_around(column: torch.Tensor) -> torch.Tensor:
    """Of a column (B, D, H), the three rows around each, (B, D, 3, H)."""
    padded = F.pad(column, (1, 1))
    return torch.stack([padded[..., i : i + column.shape[-1]] for i in range(3)], dim=2)


def test_a_block_averages_a_level_and_its_neighbours():
    torch.manual_seed(0)
    block = DyHeadBlock(CHANNELS)  # its offsets begin with zeros, its masks with a half
    features = [torch.randn(2, CHANNELS, *size) for size in ((8, 12), (4, 6), (2, 3))]

    def part(conv: GuidedConv, x: torch.Tensor) -> torch.Tensor:
        out = conv.norm(0.5 * F.conv2d(x, conv.weight, stride=conv.stride, padding=1))
        layer = block.scale_attn_module[1]
        weight = F.relu(out.mean((2, 3)) @ layer.weight.flatten(1).T + layer.bias)  # (B, 1)
        weight = ((weight + 3) / 6).clamp(0, 1)[..., None, None]
        return out, weight

    middle, low = part(block.spatial_conv_mid, features[1]), part(block.spatial_conv_low, features[0])
    out, _ = part(block.spatial_conv_high, features[2])
    high = F.interpolate(out, size=(4, 6), mode="bilinear", align_corners=True)
    weight = block.scale_attn_module(high)
    mean = (middle[0] * middle[1] + low[0] * low[1] + high * weight) / 3
    torch.testing.assert_close(block(features)[1], block.task_attn_module(mean), rtol=1e-4, atol=1e-5)
    finest = part(block.spatial_conv_mid, features[0])
    out, _ = part(block.spatial_conv_high, features[1])
    high = F.interpolate(out, size=(8, 12), mode="bilinear", align_corners=True)
    mean = (finest[0] * finest[1] + high * block.scale_attn_module(high)) / 2
    torch.testing.assert_close(block(features)[0], block.task_attn_module(mean), rtol=1e-4, atol=1e-5)


def test_maps_keep_their_sizes():
    features = [torch.randn(1, CHANNELS, *size) for size in ((7, 9), (4, 5), (2, 3), (1, 2), (1, 1))]
    out = DyHead(CHANNELS, blocks=2)(features)
    assert [x.shape for x in out] == [x.shape for x in features]
