"""Deformable DETR's parts and the sine encoding, on values checked by hand."""

from __future__ import annotations

import math

import torch

from vidperc.layers.deformable_transformer import (
    DeformableDecoder,
    DeformableDecoderLayer,
    DeformableEncoder,
    DeformableEncoderLayer,
    MSDeformAttn,
    flatten_levels,
    inverse_sigmoid,
    pixel_references,
    scaled_references,
    valid_ratios,
)
from vidperc.layers.positional_encoding import SinePositionalEncoding


def test_sine_encoding_by_hand():
    encode = SinePositionalEncoding(4, offset=-0.5)
    out = encode(torch.zeros(1, 2, 4, dtype=torch.bool))
    assert out.shape == (1, 8, 2, 4)
    y, x = 1.5 / 2 * 2 * math.pi, 2.5 / 4 * 2 * math.pi  # row 1, column 2
    expected = [f(p / 10000**e) for p in (y, x) for e in (0, 0.5) for f in (math.sin, math.cos)]
    torch.testing.assert_close(out[0, :, 1, 2], torch.tensor(expected), atol=1e-5, rtol=0)


def test_sine_encoding_counts_inside_the_padding():
    encode = SinePositionalEncoding(4)
    padding = torch.zeros(1, 3, 5, dtype=torch.bool)
    padding[:, 2:], padding[:, :, 4:] = True, True
    alone = encode(torch.zeros(1, 2, 4, dtype=torch.bool))
    torch.testing.assert_close(encode(padding)[:, :, :2, :4], alone)


def test_references_keep_their_place_in_the_unpadded_image():
    paddings = [torch.zeros(1, 4, 4, dtype=torch.bool), torch.zeros(1, 2, 2, dtype=torch.bool)]
    paddings[0][:, :, 3:] = True  # 3/4 of the fine, all of the coarse map is valid
    valid = valid_ratios(paddings)
    torch.testing.assert_close(valid, torch.tensor([[[0.75, 1.0], [1.0, 1.0]]]))
    reference = pixel_references([(4, 4), (2, 2)], valid)
    torch.testing.assert_close(reference[0, 5, 0], torch.tensor([0.375, 0.375]))  # row 1, column 1 of the fine map
    torch.testing.assert_close(reference[0, 5, 1], torch.tensor([0.5, 0.375]))  # the same place in the coarse one
    boxes = scaled_references(torch.tensor([[[0.5, 0.5, 0.2, 0.4]]]), valid)
    torch.testing.assert_close(boxes[0, 0, 0], torch.tensor([0.375, 0.5, 0.15, 0.4]))


def test_first_head_starts_looking_right():
    attention = MSDeformAttn(32, heads=8, levels=1, points=2)
    offsets = attention.sampling_offsets.bias.view(8, 1, 2, 2)
    torch.testing.assert_close(offsets[0, 0], torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
    torch.testing.assert_close(offsets[2, 0], torch.tensor([[0.0, 1.0], [0.0, 2.0]]), atol=1e-6, rtol=0)


def test_padding_is_not_seen():
    torch.manual_seed(1)
    shapes = [(4, 6), (2, 3)]
    layer = DeformableEncoderLayer(16, hidden=32, heads=2, levels=2, points=2).eval()
    encoder = DeformableEncoder([layer])
    padding = [torch.zeros(1, h, w, dtype=torch.bool) for h, w in shapes]
    padding[0][:, :, 4:], padding[1][:, :, 2:] = True, True
    flat = torch.cat([p.flatten(1) for p in padding], 1)
    memory, position = torch.randn(1, 30, 16), torch.randn(1, 30, 16)
    changed = torch.where(flat[..., None], torch.full_like(memory, 7.0), memory)
    valid = valid_ratios(padding)
    first, second = (encoder(m, position, shapes, valid, flat) for m in (memory, changed))
    torch.testing.assert_close(first[~flat], second[~flat])
    assert not torch.allclose(first[flat], second[flat])


def test_decoder_refines_and_learns():
    torch.manual_seed(1)
    shapes = [(4, 6), (2, 3)]
    layers = [DeformableDecoderLayer(16, hidden=32, heads=2, levels=2, points=2, dropout=0) for _ in range(2)]
    decoder = DeformableDecoder(layers)
    memory = flatten_levels([torch.randn(2, 16, h, w) for h, w in shapes])
    reference = torch.full((2, 5, 2), 0.5)
    seen = []

    def refine(index, query, reference):
        seen.append(index)
        return torch.full((2, 5, 4), 0.25)

    queries, references = decoder(
        torch.randn(2, 5, 16), torch.randn(2, 5, 16), reference, memory, shapes, torch.ones(2, 2, 2), refine=refine
    )
    assert seen == [0, 1]
    assert [q.shape for q in queries] == [(2, 5, 16)] * 2
    assert references[0] is reference
    assert references[1].shape == (2, 5, 4)
    queries[-1].square().sum().backward()
    assert all(p.grad is not None for p in decoder.parameters())


def test_inverse_sigmoid():
    x = torch.tensor([-3.0, 0.0, 2.0])
    torch.testing.assert_close(inverse_sigmoid(x.sigmoid()), x, atol=1e-5, rtol=1e-5)
    assert inverse_sigmoid(torch.tensor([0.0, 1.0])).isfinite().all()
