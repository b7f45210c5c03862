"""Folding batch norms into convolutions keeps the outputs."""

from __future__ import annotations

import fiddle as fdl
import pytest
import torch
from torch import nn
from vidperc.configs.common.models import deformable, modulated_deformable

from vidperc.image.backbones import ResNet
from vidperc.layers.conv import ConvNorm
from vidperc.layers.fuse import fuse_conv_norm


def shaken(model: nn.Module) -> nn.Module:
    """Evaluation mode, with statistics and scales that are not those of the beginning."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
    return model.eval()


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stages", [None, deformable, modulated_deformable])
def test_a_resnet_without_norms_gives_the_same(depth, stages):
    if depth == 18 and stages is not None:
        pytest.skip("basic blocks have no deformable convolutions")
    conv_stages = None if stages is None else {key: fdl.build(value) for key, value in stages().items()}
    model = shaken(ResNet(depth, base_channels=8, conv_stages=conv_stages))
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)
        after = fuse_conv_norm(model)(image)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    for a, b in zip(before, after):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


def test_by_hand():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.ReLU()).eval()
    conv, norm = model[0], model[1]
    nn.init.constant_(conv.weight, 2)
    nn.init.constant_(conv.bias, 1)
    norm.running_mean.fill_(3)
    norm.running_var.fill_(4 - norm.eps)
    nn.init.constant_(norm.weight, 6)
    nn.init.constant_(norm.bias, 5)
    fuse_conv_norm(model)
    assert conv.weight.item() == pytest.approx(6)  # 2 * 6 / 2
    assert conv.bias.item() == pytest.approx(-1)  # (1 - 3) * 6 / 2 + 5


def test_group_norms_stay():
    model = ConvNorm(3, 32, 3, norm="gn")
    before = set(model.state_dict())
    assert set(fuse_conv_norm(model).state_dict()) == before


def test_a_convolution_that_levels_share_stays():
    conv = nn.Conv2d(3, 4, 1)
    model = nn.ModuleList(nn.Sequential(conv, nn.BatchNorm2d(4)) for _ in range(2))
    shaken(model)
    image = torch.randn(1, 3, 5, 5)
    before = [level(image) for level in model]
    fuse_conv_norm(model)
    for level, expected in zip(model, before):
        torch.testing.assert_close(level(image), expected)
