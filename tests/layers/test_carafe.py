"""CARAFE against its definition, pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vidperc.image.necks.fpn_carafe import CARAFEPyramid
from vidperc.image.roi_heads.carafe_mask import CARAFEMaskHead
from vidperc.layers.carafe import CARAFE
from vidperc.ops.reassemble import reassemble


@pytest.mark.parametrize(("size", "scale"), [(1, 2), (3, 1), (5, 2), (3, 3)])
def test_reassembly_by_its_definition(size, scale):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 4, 5, generator=generator)
    kernels = torch.randn(2, size**2, 4 * scale, 5 * scale, generator=generator)
    out = reassemble(x, kernels, scale)
    assert out.shape == (2, 3, 4 * scale, 5 * scale)
    expected = torch.zeros(out.shape)
    half = size // 2
    for image, channel, row, column in torch.cartesian_prod(*(torch.arange(n) for n in out.shape)).tolist():
        for i in range(-half, half + 1):
            for j in range(-half, half + 1):
                y, z = row // scale + i, column // scale + j
                if 0 <= y < 4 and 0 <= z < 5:
                    weight = kernels[image, (i + half) * size + j + half, row, column]
                    expected[image, channel, row, column] += weight * x[image, channel, y, z]
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_gradients_of_reassembly():
    x = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(1, 9, 6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *args: reassemble(*args, 2), (x, kernels))


def test_kernels_that_do_not_fit_are_refused():
    for kernels in (torch.zeros(1, 9, 4, 4), torch.zeros(1, 4, 4, 6), torch.zeros(2, 9, 4, 6)):
        with pytest.raises(ValueError, match="do not enlarge"):
            reassemble(torch.zeros(1, 2, 2, 3), kernels, 2)


def test_every_new_pixel_has_a_kernel_of_its_own():
    layer = CARAFE(3, hidden=2)
    for parameter in layer.content_encoder.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(1, 3, 6, 7)
    mean = torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    torch.testing.assert_close(layer(x), mean.repeat_interleave(2, 2).repeat_interleave(2, 3))
    # The encoder's channel 4 k + 2 i + j is the weight k of the new pixel in row i and column j.
    layer.content_encoder.bias.data[4 * 12 + 1] = 100.0
    out = layer(x)
    torch.testing.assert_close(out[..., ::2, 1::2], x)
    torch.testing.assert_close(out[..., 1::2, 1::2], mean)


def test_the_pyramid_goes_down_from_its_extra_levels():
    torch.manual_seed(0)
    neck = CARAFEPyramid([8, 16], 4, 3)
    features = [torch.randn(1, 8, 9, 13), torch.randn(1, 16, 5, 7)]  # the last level has 3 x 4
    coarse = neck.lateral_convs[2](features[1])
    middle = neck.lateral_convs[1](features[1]) + neck.upsample_modules[1](coarse)[..., :5, :7]
    fine = neck.lateral_convs[0](features[0]) + neck.upsample_modules[0](middle)[..., :9, :13]
    for conv, found, expected in zip(neck.fpn_convs, neck(features), (fine, middle, coarse)):
        torch.testing.assert_close(found, conv(expected))
    with pytest.raises(ValueError, match="expects 2 feature maps, got 1"):
        neck(features[:1])
    with pytest.raises(ValueError, match="at least the 2 maps"):
        CARAFEPyramid([8, 16], 4, 1)


def test_masks_are_doubled_by_content():
    head = CARAFEMaskHead(8, channels=8, classes=3, convs=1)
    regions, labels = torch.randn(2, 8, 7, 7), torch.tensor([2, 0])
    x = head.upsample(head.convolved(regions))
    expected = torch.stack([head.conv_logits(x)[i, label] for i, label in enumerate(labels.tolist())])
    torch.testing.assert_close(head(regions, labels), expected, rtol=1e-4, atol=1e-5)
    head(regions, labels).sum().backward()
    assert [name for name, parameter in head.named_parameters() if parameter.grad is None] == []
