"""Tensors by key: in memory up to a budget, beyond it in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Iterator
from typing import IO

import torch
from torch import Tensor


class TensorStore:
    """Up to `max_memory` bytes of tensors stay where they are, later ones go to a file that nobody else sees.

    A key may be given a new tensor, which takes the old one's place. The file is deleted with the store; it lies
    where temporary files do (`TMPDIR`).
    """

    def __init__(self, max_memory: float) -> None:
        self.max_memory = max_memory
        self.bytes_held = 0
        self._held: dict[Hashable, Tensor] = {}
        self._away: dict[Hashable, tuple[int, Tensor]] = {}  # place in the file, and the form
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._held) + len(self._away)

    def __setitem__(self, key: Hashable, tensor: Tensor) -> None:
        size = tensor.nbytes
        if key in self._held:
            self.bytes_held += size - self._held[key].nbytes
            self._held[key] = tensor
        elif key in self._away or self.bytes_held + size > self.max_memory:
            self._write(key, tensor)
        else:
            self.bytes_held += size
            self._held[key] = tensor

    def __getitem__(self, key: Hashable) -> Tensor:
        if key in self._held:
            return self._held[key]
        start, form = self._away[key]
        assert self._file is not None
        self._file.seek(start)
        raw = bytearray(self._file.read(form.nbytes))
        return torch.frombuffer(raw, dtype=form.dtype).view(form.shape).to(form.device)

    def __delitem__(self, key: Hashable) -> None:
        """Forget it; its place in the file is not used again."""
        tensor = self._held.pop(key, None)
        if tensor is None:
            del self._away[key]
        else:
            self.bytes_held -= tensor.nbytes

    def __iter__(self) -> Iterator[Hashable]:
        return iter([*self._held, *self._away])

    def _write(self, key: Hashable, tensor: Tensor) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="vidperc-")  # noqa: SIM115 (closed with the store)
        if key in self._away and self._away[key][1].shape == tensor.shape:
            start = self._file.seek(self._away[key][0])
        else:
            start = self._file.seek(0, 2)
        self._file.write(tensor.cpu().contiguous().view(torch.uint8).numpy().data)
        form = torch.empty((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)  # without storage
        self._away[key] = (start, form)
