"""What methods put into residual blocks, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vidperc.checkpoint.backbone import load_backbone
from vidperc.image.backbones import ResNet
from vidperc.image.backbones.empirical_attention import AttentionBottleneck, GeneralizedAttention, SaliencyAttention
from vidperc.image.backbones.gcnet import ContextBlock, ContextBottleneck
from vidperc.layers.fuse import fuse_conv_norm


def test_the_context_is_a_weighted_mean():
    block = ContextBlock(2, ratio=1.0)
    x = torch.tensor([[[0.0, math.log(3)]], [[2.0, 6.0]]])[None]  # two channels of a map of 1 x 2
    block.conv_mask.weight.data = torch.tensor([1.0, 0]).view(1, 2, 1, 1)  # the weights of the pixels are as 1 to 3
    torch.testing.assert_close(block(x), x)  # the last layer begins with zeros
    first, norm, last = block.channel_add_conv[0], block.channel_add_conv[1], block.channel_add_conv[3]
    first.weight.data = torch.tensor([[0.0, 1], [0, -1]]).view(2, 2, 1, 1)
    nn.init.zeros_(first.bias)
    last.weight.data = 10 * torch.eye(2).view(2, 2, 1, 1)
    nn.init.constant_(norm.bias, 0.5)
    # The second channel's mean is 5, so the hidden values are 5 and -5, normed 1 and -1, then 1.5 and 0.
    torch.testing.assert_close(block(x), x + torch.tensor([15.0, 0]).view(1, 2, 1, 1))


def energies(block: SaliencyAttention, x: torch.Tensor, terms: str) -> torch.Tensor:
    """(H * W, K) of the first image, one head, from the definition, pixel by pixel."""
    channels, height, width = x.shape[1:]
    pixels = [(i, j) for i in range(height) for j in range(width)]
    seen = [(i, j) for i in range(0, height, 2) for j in range(0, width, 2)]
    out = torch.zeros(len(pixels), len(seen))

    def embed(away: int, layer: nn.Linear) -> torch.Tensor:
        count = channels // 4
        angles = [away / 1000 ** (k / count) for k in range(count)]
        return layer(torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles])) / math.sqrt(2)

    for row, (i, j) in enumerate(pixels):
        for column, (y, z) in enumerate(seen):
            key = block.key_conv.weight[:, :, 0, 0] @ x[0, :, y, z]
            energy = block.appr_bias @ key
            if terms == "1111":
                query = block.query_conv.weight[:, :, 0, 0] @ x[0, :, i, j]
                place = embed(j - z, block.appr_geom_fc_x) + embed(i - y, block.appr_geom_fc_y)
                energy = energy + query @ key + query @ place + block.geom_bias @ place
            out[row, column] = energy
    return out


@pytest.mark.parametrize(("kind", "terms"), [(GeneralizedAttention, "1111"), (SaliencyAttention, "0010")])
@torch.no_grad()
def test_attention_by_its_definition(kind, terms):
    torch.manual_seed(0)
    block, x = kind(8, heads=1), torch.randn(2, 8, 3, 5)
    torch.testing.assert_close(block(x), x)  # gamma begins with zero
    nn.init.constant_(block.gamma, 2.0)
    values = block.value_conv(x[:1, :, ::2, ::2]).flatten(2)[0]  # (D, K)
    gathered = energies(block, x, terms).softmax(1) @ values.T  # (H * W, D)
    expected = x[:1] + 2 * block.proj_conv(gathered.T.view(1, 8, 3, 5))
    torch.testing.assert_close(block(x)[:1], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_heads_are_attentions_of_a_part_of_the_channels():
    torch.manual_seed(0)
    x = torch.randn(1, 8, 3, 5)
    whole, one = SaliencyAttention(8, heads=2), SaliencyAttention(8, heads=1)
    one.load_state_dict(whole.state_dict())
    half = one.appr_bias.clone()
    half[4:] = 0
    one.appr_bias.copy_(half)
    for block in (whole, one):
        nn.init.ones_(block.gamma)
        block.proj_conv.weight.copy_(torch.eye(8)[..., None, None])
    torch.testing.assert_close(whole(x)[:, :4], one(x)[:, :4])


@pytest.mark.parametrize("block", [AttentionBottleneck, ContextBottleneck])
@torch.no_grad()
def test_blocks_of_some_stages_are_given(block):
    torch.manual_seed(0)
    network = ResNet(50, base_channels=16, block_stages={2: block}).eval()
    assert [type(stage[-1]) is block for stage in network.children() if isinstance(stage, nn.Sequential)] == [
        False, False, True, False,
    ]  # fmt: skip
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
    image = torch.randn(1, 3, 64, 64)
    before = network(image)
    for a, b in zip(before, fuse_conv_norm(network)(image)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


@pytest.mark.parametrize("block", [AttentionBottleneck, ContextBottleneck])
@torch.no_grad()
def test_pretrained_networks_stay_what_they_are(tmp_path, block):
    torch.manual_seed(0)
    plain, network = ResNet(50, base_channels=16).eval(), ResNet(50, base_channels=16, block_stages={2: block}).eval()
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    assert load_backbone(network, tmp_path / "plain.pth").complete
    image = torch.randn(1, 3, 64, 64)
    for found, expected in zip(network(image), plain(image)):
        torch.testing.assert_close(found, expected)
