"""Tensors in memory and in the file."""

from __future__ import annotations

import pytest
import torch

from vidperc.video.tensor_store import TensorStore


def test_what_exceeds_the_budget_comes_back_from_the_file():
    store = TensorStore(max_memory=100)
    tensors = {key: torch.randn(4, 4) + key for key in range(4)}  # 64 bytes each
    tensors["bf16"] = torch.randn(3, 5, 2).transpose(0, 2).bfloat16()
    for key, tensor in tensors.items():
        store[key] = tensor
    assert (len(store), store.bytes_held) == (5, 64)
    for key, tensor in tensors.items():
        torch.testing.assert_close(store[key], tensor, atol=0, rtol=0)


def test_new_values_take_the_old_ones_place():
    store = TensorStore(max_memory=64)
    for value in (1.0, 2.0):
        for key in ("held", "away"):
            store[key] = torch.full((4, 4), value)
    store["away"] = torch.arange(40.0)  # does not fit there any more
    assert store.bytes_held == 64
    assert store["held"].unique().tolist() == [2.0]
    assert store["away"].tolist() == list(range(40))
    for key in store:
        del store[key]
    assert (len(store), store.bytes_held) == (0, 0)
    with pytest.raises(KeyError):
        store["held"]
