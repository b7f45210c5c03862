"""The network as tracking runs it against the modules, and Winograd's convolution against the direct one."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from vidperc.layers.winograd import transform_weight, winograd_conv
from vidperc.models import load
from vidperc.structures import Video
from vidperc.video.siamrpn_network import FoldedConv, ModuleNetwork, fold


@pytest.mark.parametrize(
    ("size", "padding", "dilation"),
    [((31, 31), 2, 2), ((31, 31), 4, 4), ((15, 9), 1, 1), ((9, 14), 0, 1), ((7, 6), 0, 2), ((16, 12), 1, 1)],
)
def test_winograd_equals_the_direct_convolution(size, padding, dilation):
    x, weight, bias = torch.randn(2, 12, *size), torch.randn(8, 12, 3, 3), torch.randn(8)
    out = winograd_conv(x, transform_weight(weight), bias, padding, dilation)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), 1, padding, dilation)
    assert out.shape == expected.shape
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert (out - expected).abs().max() < 1e-4 * expected.std()


def test_large_convolutions_are_winograds():
    large = FoldedConv(torch.nn.Conv2d(256, 256, 3, padding=2, dilation=2, bias=False), None, torch.float32)
    assert large.winograd
    assert not FoldedConv(torch.nn.Conv2d(64, 64, 3), None, torch.float32).winograd
    assert not FoldedConv(torch.nn.Conv2d(256, 256, 3, stride=2), None, torch.float32).winograd
    assert not FoldedConv(torch.nn.Conv2d(256, 256, 3), None, torch.bfloat16).winograd


def test_folded_network_equals_the_modules():
    torch.manual_seed(0)
    model = load("tiny_siamese_rpn", fuse=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that make a difference
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
    modules = ModuleNetwork(model.backbone, model.neck, model.head)
    folded = fold(modules, torch.float32)
    template, search = torch.rand(1, 3, 127, 127) * 255, torch.rand(1, 3, 255, 255) * 255
    with torch.no_grad():
        outputs = []
        for network in (modules, folded):
            middle = [feature[..., 4:11, 4:11] for feature in network.features(template)]
            outputs.append(network.correlate(network.embed_template(middle), network.features(search)))
    for mine, expected in zip(outputs[1], outputs[0]):
        assert torch.allclose(mine, expected, atol=1e-3 * float(expected.std()), rtol=1e-3)


def test_the_folded_network_follows_the_parameters():
    model = load("tiny_siamese_rpn", fuse=False)
    first = model.network()
    assert model.network() is first
    with torch.no_grad():
        model.backbone.conv1.weight.mul_(1.1)
    assert model.network() is not first
    assert isinstance(model.train().network(), ModuleNetwork)
    assert set(model.state_dict()) == set(load("tiny_siamese_rpn", fuse=False).state_dict())


def test_the_state_does_not_grow():
    import numpy as np

    model = load("tiny_siamese_rpn")
    frame = np.zeros((60, 80, 3), np.uint8)
    video = Video.from_frames([frame] * 12, prompt=[20, 20, 50, 50])

    def elements(state):
        targets = state.targets
        kernels = [*targets.kernels.classification, *targets.kernels.regression]
        return sum(t.numel() for t in [*kernels, targets.boxes, targets.colours, targets.scores])

    with model.inference():
        state = model.init_state(video)
        sizes = []
        for each in video:
            model.step(each, state)
            sizes.append(elements(state))
    assert len(set(sizes)) == 1
