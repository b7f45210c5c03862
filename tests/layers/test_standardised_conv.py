"""Weight standardisation by hand, and its fold into plain convolutions."""

from __future__ import annotations

import torch
from torch import nn

from vidperc.layers.conv import ConvNorm
from vidperc.layers.fuse import fuse_conv_norm
from vidperc.layers.inference import InferenceConv, for_inference
from vidperc.layers.standardised_conv import StandardisedConv, like, standardise_weights


def test_by_hand():
    conv = nn.Conv2d(1, 2, (1, 2))
    conv.weight.data = torch.tensor([[1.0, 3], [5, 5]]).view(2, 1, 1, 2)
    new = like(StandardisedConv, conv)
    # The mean of 1 and 3 is 2, their deviation with one degree of freedom less is the root of 2.
    expected = torch.tensor([[-(0.5**0.5), 0.5**0.5], [0, 0]]).view(2, 1, 1, 2)
    torch.testing.assert_close(new.standardised(), expected, rtol=2e-5, atol=0)
    x = torch.tensor([2.0, 6]).view(1, 1, 1, 2)
    torch.testing.assert_close(new(x).flatten(), torch.tensor([4 * 0.5**0.5, 0]) + conv.bias, rtol=2e-5, atol=0)


def test_only_plain_convolutions_of_the_named_parts():
    network = nn.ModuleDict({"a": ConvNorm(3, 4, 3), "b": nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(2, 2))})
    before = network.state_dict()
    assert standardise_weights(network, parts=("b",)) is network
    assert [type(layer) for layer in network["b"]] == [StandardisedConv, nn.Linear]
    assert type(network["a"].conv) is nn.Conv2d
    assert list(before) == list(network.state_dict())
    assert network["b"][0].weight is network.get_parameter("b.0.weight")


def test_a_fold_gives_the_same_without_standardising_again():
    torch.manual_seed(0)
    shared = nn.Conv2d(3, 32, 3, padding=1, stride=2)
    network = nn.Sequential(ConvNorm(3, 32, 3, norm="bn"), ConvNorm(32, 3, 1, relu=False), shared, shared)
    standardise_weights(network).eval()
    network[0].norm.running_mean.normal_()
    image = torch.randn(1, 3, 9, 9)
    with torch.no_grad():
        before = network[:3](image)
        for_inference(fuse_conv_norm(network))
        torch.testing.assert_close(network[:3](image), before, rtol=1e-4, atol=1e-4)
    assert network[2] is network[3]
    assert not any(isinstance(part, StandardisedConv | nn.BatchNorm2d) for part in network.modules())
    assert type(network[0].conv) is InferenceConv
