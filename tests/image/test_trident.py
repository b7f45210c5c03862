"""TridentNet: branches at training, one of them at inference."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vidperc import Instances
from vidperc.image.backbones import ResNet
from vidperc.image.backbones.resnet import plain_conv
from vidperc.image.backbones.trident import DILATIONS, TridentBottleneck, TridentConv
from vidperc.image.two_stage import BranchedRCNN
from vidperc.layers.fuse import fuse_conv_norm
from vidperc.structures import ImageList


def network(**options) -> ResNet:
    torch.manual_seed(0)
    return ResNet(50, base_channels=8, num_stages=3, out_indices=(2,), style="caffe", **options)


@torch.no_grad()
def test_each_branch_is_a_network_with_its_dilation():
    trident, image = network(block_stages={2: TridentBottleneck}), torch.randn(2, 3, 64, 96)
    (together,) = trident.train()(image)
    assert together.shape == (6, 128, 4, 6)
    for branch, dilation in zip(together.chunk(3), DILATIONS):
        plain = network(dilations=(1, 1, dilation))
        plain.load_state_dict(trident.state_dict())
        torch.testing.assert_close(plain.train()(image)[0], branch, rtol=1e-4, atol=1e-5)
        if dilation == 2:
            torch.testing.assert_close(trident.eval()(image)[0], branch, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_inference_has_plain_convolutions():
    trident, image = network(block_stages={2: TridentBottleneck}).eval(), torch.randn(1, 3, 64, 96)
    (before,) = trident(image)
    (after,) = fuse_conv_norm(trident)(image)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    assert not any(isinstance(part, TridentConv | nn.BatchNorm2d) for part in trident.modules())
    assert trident.layer3[0].conv2.dilation == (2, 2)
    assert type(plain_conv(1, 1, 3)) is type(trident.layer3[0].conv2)


@pytest.mark.parametrize("branches", [1, 3])
def test_every_branch_learns_from_all_targets(branches):
    seen = {}

    class Proposals(nn.Module):
        def loss(self, features, images, targets):
            seen["rpn"] = (images, targets)
            return {"rpn": torch.zeros(())}, ["regions"] * len(targets)

    class Regions(nn.Module):
        def loss(self, features, images, proposals, targets):
            seen["rcnn"] = (images, targets, proposals)
            return {"rcnn": torch.ones(())}

    model = BranchedRCNN(preprocessor=None, backbone=nn.Identity(), rpn=Proposals(), roi_head=Regions())
    images = ImageList(torch.zeros(2, 3, 4, 6), [(4, 6), (3, 5)], [(4, 6)] * 2, [(1.0, 1.0)] * 2)
    targets = [Instances(boxes=torch.full((1, 4), float(i))) for i in range(2)]
    losses = model.loss([torch.zeros(2 * branches, 1, 1, 1)], images, targets)
    assert set(losses) == {"rpn", "rcnn"}
    for part in seen.values():
        assert part[0].sizes == [(4, 6), (3, 5)] * branches
        assert part[1] == targets * branches
    assert len(seen["rcnn"][2]) == 2 * branches
