"""A batch as two buffers, so that it goes from a data worker to the training process in one piece.

Sent as it is, every tensor of every object travels through a shared file of its own: the training process
opens hundreds for a batch, and waits meanwhile.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, NamedTuple

import torch
from torch import Tensor

ALIGNMENT = 64  # bytes


class Place(NamedTuple):
    """Where a tensor lies in the buffer: as it lay in memory, its axes ordered by their strides."""

    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]  # in memory
    axes: tuple[int, ...]  # of the tensor, among those in memory


class Packed(NamedTuple):
    """A value of any kind: its tensors in one buffer, the rest pickled."""

    buffer: Tensor  # (bytes,) uint8
    places: list[Place]
    rest: bytes


def pack(value: Any) -> Packed:
    """Pack a value that can be pickled."""
    tensors: list[Tensor] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: Any) -> int | None:
            if not isinstance(obj, Tensor):
                return None
            tensors.append(obj)
            return len(tensors) - 1

    rest = io.BytesIO()
    Pickler(rest, pickle.HIGHEST_PROTOCOL).dump(value)
    parts, places, end = [], [], 0
    for tensor in tensors:
        order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
        dense = tensor.detach().permute(order).contiguous()
        axes = tuple(order.index(axis) for axis in range(tensor.ndim))
        places.append(Place(end, tensor.dtype, tuple(dense.shape), axes))
        parts.append((end, dense))
        end += -(-dense.nbytes // ALIGNMENT) * ALIGNMENT
    buffer = torch.empty(end, dtype=torch.uint8)
    for start, dense in parts:
        if dense.nbytes:
            buffer[start : start + dense.nbytes] = dense.reshape(-1).view(torch.uint8)
    return Packed(buffer, places, rest.getvalue())


def unpack(packed: Packed) -> Any:
    """What `pack` was given; its tensors are views of the buffer."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: int) -> Tensor:
            start, dtype, shape, axes = packed.places[pid]
            size = torch.Size(shape).numel() * dtype.itemsize
            if size == 0:
                return torch.empty(shape, dtype=dtype).permute(axes)
            return packed.buffer[start : start + size].view(dtype).view(shape).permute(axes)

    return Unpickler(io.BytesIO(packed.rest)).load()
