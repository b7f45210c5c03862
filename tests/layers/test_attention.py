"""Attention against PyTorch's own module with the same weights."""

from __future__ import annotations

import pytest
import torch

from vidperc.layers.attention import MultiheadAttention


@pytest.mark.parametrize("padded", [False, True])
def test_equals_pytorchs(padded):
    torch.manual_seed(0)
    ours, theirs = MultiheadAttention(16, 4), torch.nn.MultiheadAttention(16, 4, batch_first=True)
    ours.load_state_dict(theirs.state_dict())
    torch.nn.init.normal_(ours.in_proj_bias)
    theirs.load_state_dict(ours.state_dict())
    query, key, value = torch.randn(3, 5, 16), torch.randn(3, 7, 16), torch.randn(3, 7, 16)
    padding = torch.arange(7) >= torch.tensor([[7], [4], [1]]) if padded else None
    expected = theirs(query, key, value, key_padding_mask=padding, need_weights=False)[0]
    torch.testing.assert_close(ours(query, key, value, padding), expected, atol=1e-5, rtol=1e-5)


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="10 channels do not divide among 4 heads"):
        MultiheadAttention(10, 4)
