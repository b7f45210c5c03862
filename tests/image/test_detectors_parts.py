"""DetectoRS's convolutions, backbones and neck, by hand and against plain ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vidperc.checkpoint.backbone import load_backbone
from vidperc.image.backbones import ResNet
from vidperc.image.backbones.detectors import (
    SAC,
    AdaptiveConv,
    DetectoRSResNet,
    FixedSAC,
    GuidedResNet,
    ImageFirstResNet,
)
from vidperc.image.necks.fpn import FPN
from vidperc.image.necks.rfp import ASPP, RFP
from vidperc.layers.fuse import fuse_conv_norm


def shaken(network: nn.Module) -> nn.Module:
    """With all parameters and statistics drawn anew, in evaluation mode."""
    torch.manual_seed(1)
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith("running_var"):
            value.data.uniform_(0.5, 1.5)
        elif value.is_floating_point():
            value.data.normal_(std=value[0].numel() ** -0.5 if value.ndim > 1 else 0.3)
    return network.eval()


def test_adaptive_convolution_by_hand():
    conv = AdaptiveConv(1, 1, (1, 2), bias=False)
    conv.weight.data = torch.tensor([1.0, 3]).view(1, 1, 1, 2)
    conv.weight_gamma.fill_(2)
    conv.weight_beta.fill_(0.5)
    # The mean is 2, the variance with one degree of freedom less is 2: weights of 0.5 -+ 2 / sqrt(2).
    x = torch.tensor([1.0, 10]).view(1, 1, 1, 2)
    expected = pytest.approx(5.5 + 9 * 2**0.5, rel=1e-4)
    assert conv(x).item() == expected
    assert type(conv.folded()) is nn.Conv2d
    assert conv.folded()(x).item() == expected
    assert [name for name, _ in conv.named_parameters()] == ["weight"]


@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_a_new_switchable_convolution_is_the_standardised_one(stride):
    conv = nn.Conv2d(3, 4, 3, stride, 1, bias=False)
    adaptive = AdaptiveConv(3, 4, 3, stride, 1, bias=False)
    adaptive.weight = conv.weight
    x = torch.randn(2, 3, 7, 6)
    torch.testing.assert_close(SAC(conv)(x), adaptive(x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_switchable_convolution_by_its_definition():
    torch.manual_seed(0)
    sac = shaken(SAC(nn.Conv2d(3, 4, 3, 1, 1, bias=False)))
    for layer in (sac.offset_s, sac.offset_l):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    sac.offset_l.bias[1::2] = 1  # one column to the right
    x = torch.randn(1, 3, 6, 7)
    before = x + (sac.pre_context.weight[:, :, 0, 0] @ x.mean((2, 3))[0] + sac.pre_context.bias)[None, :, None, None]
    rows = [torch.stack([reflected(before, row, column) for column in range(7)], dim=-1) for row in range(6)]
    around = torch.stack(rows, dim=-2)
    switch = F.conv2d(around, sac.switch.weight, sac.switch.bias)
    small, large = sac.weights()
    torch.testing.assert_close(large - small, sac.weight_diff, rtol=0, atol=1e-6)
    shifted = F.pad(before, (3, 4, 3, 3))[..., 1:]
    out = switch * F.conv2d(before, small, padding=1) + (1 - switch) * F.conv2d(shifted, large, dilation=3)
    out = out + F.conv2d(out.mean((2, 3), keepdim=True), sac.post_context.weight, sac.post_context.bias)
    torch.testing.assert_close(sac(x), out, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sac.folded()(x), out, rtol=1e-4, atol=1e-4)


def reflected(x: torch.Tensor, row: int, column: int) -> torch.Tensor:
    """The mean (B, D) of the 5 x 5 pixels around one, the map mirrored at its border."""

    def inside(index: int, size: int) -> int:
        index = abs(index)
        return 2 * (size - 1) - index if index >= size else index

    rows = [inside(row + i, x.shape[2]) for i in range(-2, 3)]
    columns = [inside(column + i, x.shape[3]) for i in range(-2, 3)]
    return x[:, :, rows][:, :, :, columns].mean((2, 3))


def test_maps_too_small_to_switch_are_refused():
    with pytest.raises(ValueError, match=r"at least 3x3 pixels, got \(2, 5\)"):
        SAC(nn.Conv2d(1, 1, 3, 1, 1))(torch.zeros(1, 1, 2, 5))


@torch.no_grad()
def test_a_backbone_without_standardising_again():
    network = shaken(DetectoRSResNet(50, base_channels=8, sac_stages=(1, 2)))
    kinds = [type(stage[0].conv2) for stage in (network.layer1, network.layer2, network.layer3, network.layer4)]
    assert kinds == [AdaptiveConv, SAC, SAC, AdaptiveConv]
    assert type(network.conv1) is type(network.layer2[0].downsample[0]) is AdaptiveConv
    assert type(network.layer2[0].conv2.switch) is nn.Conv2d
    image = torch.randn(1, 3, 64, 96)
    before = network(image)
    after = fuse_conv_norm(network)(image)
    assert not any(isinstance(part, AdaptiveConv | SAC) for part in network.modules())
    assert sum(isinstance(part, FixedSAC) for part in network.modules()) == 10
    for a, b in zip(before, after):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max()))


@pytest.mark.parametrize("kind", [DetectoRSResNet, GuidedResNet])
@torch.no_grad()
def test_pretrained_weights_keep_what_they_do(tmp_path, kind):
    plain = shaken(ResNet(50, base_channels=8))
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    network = kind(50, base_channels=8, sac_stages=(1, 2)).eval()
    assert load_backbone(network, tmp_path / "plain.pth").complete
    image = torch.randn(1, 3, 64, 96)
    guides = ([torch.randn(1, 256, 8 // 2**i, 12 // 2**i) for i in range(3)],) if kind is GuidedResNet else ()
    for found, expected in zip(network(image, *guides), plain(image)):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@torch.no_grad()
def test_guides_are_added_to_the_first_block_of_a_stage():
    network = shaken(GuidedResNet(50, base_channels=8, guide_channels=4))
    image = torch.randn(1, 3, 64, 96)
    guides = [torch.randn(1, 4, 8 // 2**i, 12 // 2**i) for i in range(3)]
    x = network.layer1(network.begin(image))
    out = network(image, guides)
    torch.testing.assert_close(out[0], x)
    first = network.layer2[0]
    inner = first.bn3(first.conv3(first.inner(first.relu(first.bn1(first.conv1(x))))))
    x = (inner + first.downsample(x) + first.rfp_conv(guides[0])).relu()
    for block in network.layer2[1:]:
        x = block(x)
    torch.testing.assert_close(out[1], x)
    assert [name for name, _ in network.named_modules() if name.endswith("rfp_conv")] == [
        "layer2.0.rfp_conv", "layer3.0.rfp_conv", "layer4.0.rfp_conv",
    ]  # fmt: skip


@torch.no_grad()
def test_the_image_comes_first():
    network, image = ImageFirstResNet(50, base_channels=8).eval(), torch.randn(1, 3, 64, 64)
    first, *maps = network(image)
    assert first is image
    assert [x.shape[1] for x in maps] == network.out_channels == [32, 64, 128, 256]


def test_surroundings_near_and_far():
    pooling = ASPP(2, 3)
    x = torch.randn(1, 2, 8, 9)
    one, near, far, whole = pooling.aspp
    expected = [
        one(x), F.conv2d(x, near.weight, near.bias, padding=3, dilation=3),
        F.conv2d(x, far.weight, far.bias, padding=6, dilation=6),
        whole(x.mean((2, 3), keepdim=True)).expand(1, 3, 8, 9),
    ]  # fmt: skip
    torch.testing.assert_close(pooling(x), torch.cat(expected, dim=1).relu())


@torch.no_grad()
def test_the_pyramid_is_renewed_where_it_asks_for_it():
    class Again(nn.Module):
        def forward(self, image, guides):
            self.seen = image, guides
            return [x + 1 for x in maps]

    torch.manual_seed(0)
    again, image = Again(), torch.randn(1, 3, 32, 32)
    maps = [torch.randn(1, c, s, s) for c, s in ((3, 8), (5, 4))]
    neck = RFP([3, 5], 4, 3, backbone=again, hidden=1)
    plain = FPN([3, 5], 4, 3)
    plain.load_state_dict({name: value for name, value in neck.state_dict().items() if not name.startswith("rfp_")})
    before, after = plain(maps), plain([x + 1 for x in maps])
    for found, old, new in zip(neck([image, *maps]), before, after):
        torch.testing.assert_close(found, (old + new) / 2)  # the layer that asks begins with zeros
    assert again.seen[0] is image
    assert len(again.seen[1]) == 1
    torch.testing.assert_close(again.seen[1][0], neck.rfp_aspp(before[1]))
    nn.init.normal_(neck.rfp_weight.weight)
    for found, old, new in zip(neck([image, *maps]), before, after):
        weight = neck.rfp_weight(new).sigmoid()
        torch.testing.assert_close(found, weight * new + (1 - weight) * old)
    assert neck.backbones == [again]
