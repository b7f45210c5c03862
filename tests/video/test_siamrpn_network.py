"""The network as tracking runs it against the modules, and Winograd's convolution against the direct one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from vidperc.image.backbones.siamese_resnet import SiameseResNet
from vidperc.layers import winograd
from vidperc.layers.packed_conv import PackedConv, PackedProducts, can_pack
from vidperc.layers.winograd import BatchedProducts, WinogradConv
from vidperc.models import load
from vidperc.structures import Video
from vidperc.video.siamrpn_convs import DirectConv, best_conv
from vidperc.video.siamrpn_network import ModuleNetwork, fold, middle


@pytest.mark.parametrize(
    ("size", "padding", "dilation"),
    [((31, 31), 2, 2), ((31, 31), 4, 4), ((15, 9), 1, 1), ((9, 14), 0, 1), ((7, 6), 0, 2), ((16, 12), 1, 1)],
)
def test_winograd_equals_the_direct_convolution(size, padding, dilation, monkeypatch):
    x, weight, bias = torch.randn(2, 12, *size), torch.randn(8, 12, 3, 3), torch.randn(8)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), 1, padding, dilation)
    out = WinogradConv(weight, bias, padding, dilation)(x)
    assert out.shape == expected.shape
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert (out - expected).abs().max() < 3e-5 * expected.std()
    rectified = WinogradConv(weight, bias, padding, dilation, relu=True)
    monkeypatch.setattr(winograd, "STRIP", 1)  # the least strips
    monkeypatch.setattr(winograd, "LEAST_TILES", 1)
    assert torch.allclose(rectified(x), out.relu(), atol=1e-5)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("largest", [0, 2**20])
def test_matrices_are_packed_where_that_is_faster(batched, largest, monkeypatch):
    monkeypatch.setattr(winograd, "batched_is_faster", lambda: batched)
    monkeypatch.setattr(winograd, "LARGEST_BATCHED", largest)
    weight = torch.randn(512, 512, 3, 3)
    x = torch.randn(1, 512, 8, 8)
    conv = WinogradConv(weight, None, 1, 1)
    packed = can_pack(weight.device) and not (batched and largest)
    assert isinstance(conv.products, PackedProducts if packed else BatchedProducts)
    assert (conv(x) - F.conv2d(x, weight, None, 1, 1)).abs().max() < 1e-4 * 68


@pytest.mark.skipif(not can_pack(torch.device("cpu")), reason="torch is built without oneDNN")
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [(1, 1, 0, 1), (3, 2, 0, 1), (3, 1, 2, 2)])
@pytest.mark.parametrize("kind", [PackedConv, DirectConv])
def test_convolution_with_relu_and_sum(kind, kernel, stride, padding, dilation):
    x = torch.randn(2, 12, 9, 11).to(memory_format=torch.channels_last)
    weight, bias = torch.randn(8, 12, kernel, kernel), torch.randn(8)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), stride, padding, dilation)
    total = torch.randn(expected.shape).to(memory_format=torch.channels_last)
    conv, rectified = (kind(weight, bias, stride, padding, dilation, relu=relu) for relu in (False, True))
    before = total.clone()
    for out, wanted in (
        (conv(x), expected),
        (rectified(x), expected.relu()),
        (conv.add_to(total.clone(), x), before + expected),
        (rectified.add_to(total, x), (before + expected).relu()),
    ):
        assert torch.allclose(out.double(), wanted, atol=1e-4)
        assert out.is_contiguous(memory_format=torch.channels_last)


def test_large_convolutions_are_winograds():
    def chosen(channels, dtype=torch.float32, **options):
        weight = torch.randn(channels, channels, 3, 3)
        geometry = (options.get("stride", 1), options.get("padding", 0), options.get("dilation", 1))
        return isinstance(best_conv(weight, None, geometry, dtype, 31, relu=True), WinogradConv)

    assert chosen(256, padding=2, dilation=2)
    assert not chosen(64)
    assert not chosen(256, stride=2)
    assert not chosen(512, torch.bfloat16)


def test_folded_network_equals_the_modules():
    torch.manual_seed(0)
    model = load("tiny_siamese_rpn", fuse=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that make a difference
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
    modules = ModuleNetwork(model.backbone, model.neck, model.head)
    folded = fold(modules, torch.float32, 255, 7)
    template, search = torch.rand(1, 3, 127, 127) * 255, torch.rand(1, 3, 255, 255) * 255
    with torch.no_grad():
        outputs = []
        for network in (modules, folded):
            kernels = network.embed_template(middle(network.features(template), 7))
            outputs.append(network.correlate(kernels, network.features(search)))
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
    model.eval().network()
    twin = copy.deepcopy(model)
    x = torch.rand(1, 3, 63, 63)
    assert torch.equal(twin.network().features(x)[0], model.network().features(x)[0])


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


def test_batch_statistics_follow_in_the_stages_that_learn():
    backbone = SiameseResNet(depth=14, base_channels=8, trained_stages=(1, 2, 3)).train()
    before = {name: value.clone() for name, value in backbone.named_buffers() if "running_mean" in name}

    def changed():
        buffers = dict(backbone.named_buffers())
        return {name.split(".")[0] for name, value in before.items() if not torch.equal(value, buffers[name])}

    stages = [backbone.layer2, backbone.layer3, backbone.layer4]
    for stage in stages:
        stage.requires_grad_(False)  # as a schedule does until their epoch
    backbone(torch.rand(2, 3, 63, 63))
    assert changed() == set()
    for stage in stages:
        stage.requires_grad_(True)
    backbone(torch.rand(2, 3, 63, 63))
    assert changed() == {"layer2", "layer3", "layer4"}
    backbone.eval()
    assert not any(module.training for module in backbone.modules())
