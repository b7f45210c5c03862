"""Layers of inference against the plain ones with the same parameters."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from vidperc.layers.inference import InferenceConv, InferenceLinear, for_inference
from vidperc.layers.packed_conv import linear


@pytest.fixture
def layers():
    """A wide 3x3 convolution, a pointwise one and a linear layer, and the same for inference."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1), nn.Conv2d(128, 8, 1), nn.Linear(40, 3)).eval()
    return plain, for_inference(copy.deepcopy(plain))


IMAGE = torch.randn(1, 128, 56, 40, generator=torch.Generator().manual_seed(1))


def assert_near(found, expected):
    """As near as Winograd's convolution is to the direct one in float32."""
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.std())


def test_outputs_and_names_are_those_of_the_plain_layers(layers):
    plain, fast = layers
    assert [type(layer) for layer in fast] == [InferenceConv, InferenceConv, InferenceLinear]
    assert fast.state_dict().keys() == plain.state_dict().keys()
    assert fast[0].wide and not fast[1].wide
    with torch.inference_mode():
        assert not torch.equal(fast[0](IMAGE), plain[0](IMAGE))  # is Winograd's
        assert_near(fast[0](IMAGE), plain[0](IMAGE))
        assert_near(fast(IMAGE), plain(IMAGE))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_low_precision_is_autocasts(layers, precision):
    plain, fast = layers
    with torch.inference_mode(), torch.autocast("cpu", precision):
        out = fast(IMAGE)
        assert out.dtype == precision
        assert torch.equal(out, plain(IMAGE))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):  # and then in another one
        assert torch.equal(fast(IMAGE), plain(IMAGE))


def test_they_follow_their_weights(layers):
    plain, fast = layers
    with torch.inference_mode():
        before = fast[0](IMAGE)
    with torch.no_grad():
        for module in layers:
            module[0].weight.mul_(2)
            module[0].bias.zero_()
    with torch.inference_mode():
        assert_near(fast[0](IMAGE), plain[0](IMAGE))
        assert (fast[0](IMAGE) - before).abs().max() > 0.1
    other = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1), nn.Conv2d(128, 8, 1), nn.Linear(40, 3))
    fast.load_state_dict(other.state_dict())
    with torch.inference_mode():
        assert_near(fast[0](IMAGE), other[0](IMAGE))


def test_copies_of_used_layers_follow_their_own_weights(layers):
    plain, fast = layers
    with torch.inference_mode():
        fast(IMAGE)
    for copied in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        with torch.no_grad():
            copied[0].weight.zero_()
        with torch.inference_mode():
            assert torch.equal(copied[0](IMAGE)[0, :, 0, 0], plain[0].bias)
            assert_near(fast[0](IMAGE), plain[0](IMAGE))


@pytest.mark.parametrize("shape", [(2, 150, 96), (300, 96), (0, 96), (1, 96)])
def test_linear_layers(shape):
    plain = nn.Linear(96, 400).eval()
    fast = for_inference(nn.Sequential(copy.deepcopy(plain)))[0]
    x = torch.randn(*shape[:-1], 2 * shape[-1])[..., ::2]  # not contiguous
    expected = x.double() @ plain.weight.double().T + plain.bias.double()
    with torch.inference_mode():
        assert torch.allclose(fast(x).double(), expected, atol=1e-5)
        assert torch.allclose(linear(x, plain.weight).double(), expected - plain.bias.double(), atol=1e-5)
    plain(x).square().sum().backward()
    fast(x).square().sum().backward()
    assert torch.equal(plain.weight.grad, fast.weight.grad)


def test_gradients_are_the_plain_layers(layers):
    plain, fast = layers
    for module in layers:
        module(IMAGE).square().sum().backward()
    assert torch.equal(plain[0].weight.grad, fast[0].weight.grad)


def test_a_shared_layer_stays_shared():
    conv = nn.Conv2d(4, 4, 1)
    model = for_inference(nn.ModuleDict({"a": conv, "b": nn.Sequential(conv)}))
    assert model["a"] is model["b"][0]
    assert isinstance(model["a"], InferenceConv)
