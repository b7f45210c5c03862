"""Galleries: the last appearances of every track, in one block of memory that tracks hold slots of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(slots=True)
class Galleries:
    """S slots of up to `budget` embeddings (D,), the oldest of which is overwritten.

    Slots stay where they are when other tracks come and go, so nothing is copied from frame to frame.
    """

    memory: NDArray[np.float32]  # (S, budget, D)
    written: Ints  # (S,) embeddings ever written to the slot
    free: Bools  # (S,)

    @staticmethod
    def empty(budget: int) -> Galleries:
        """No slots; the size of the embeddings is that of the first ones written."""
        return Galleries(np.zeros((0, budget, 0), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))

    @property
    def budget(self) -> int:
        """Embeddings a slot can hold."""
        return self.memory.shape[1]

    def take_slots(self, count: int) -> Ints:
        """`count` empty slots, from now on in use."""
        slots = self.free.nonzero()[0][:count]
        if len(slots) < count:
            self._grow(max(count - len(slots), len(self.free), 8))
            slots = self.free.nonzero()[0][:count]
        self.free[slots] = False
        self.written[slots] = 0
        self.memory[slots] = 0.0
        return slots

    def release(self, slots: Ints) -> None:
        """Give slots back."""
        self.free[slots] = True
        self.written[slots] = 0

    def write(self, slots: Ints, embeddings: Floats) -> None:
        """Add one embedding (D,) to each slot; rows with a NaN say nothing and are left out."""
        if not self.memory.shape[2]:
            self.memory = np.zeros((*self.memory.shape[:2], embeddings.shape[1]), np.float32)
        known = np.isfinite(embeddings.sum(1))
        if np.count_nonzero(known) < len(known):
            slots, embeddings = slots[known], embeddings[known]
        self.memory[slots, self.written.take(slots) % self.budget] = embeddings
        self.written[slots] += 1

    def check(self, embeddings: Floats | None, update: int) -> Floats:
        """`embeddings` when they fit what has been written so far.

        Raises:
            ValueError: none, not (M, D), or of another size than before.
        """
        size = self.memory.shape[2]
        if embeddings is None:
            raise ValueError(f"detections of update {update}: this tracker needs embeddings; give the model a reid")
        if embeddings.ndim != 2 or (size and len(embeddings) and embeddings.shape[1] != size):
            expected = f"(M, {size})" if size else "(M, D)"
            raise ValueError(f"detections of update {update}: embeddings {embeddings.shape}, expected {expected}")
        return embeddings

    def means(self, slots: Ints) -> Floats:
        """The mean of what each slot holds: (N, D); NaN for an empty slot."""
        held = np.minimum(self.written.take(slots), self.budget)
        total = self.memory.take(slots, 0).sum(1, dtype=np.float64)
        out = np.full_like(total, np.nan)
        np.divide(total, held[:, None], out=out, where=held[:, None] > 0)
        return out

    def best_similarity(self, slots: Ints, embeddings: Floats, wanted: Bools) -> NDArray[np.float32]:
        """The greatest inner product of each embedding (M, D) with those in each slot, where `wanted`: (N, M).

        -inf where it is not wanted, nothing is held, or the embedding has a NaN. Only the wanted pairs are
        computed, as one batch of products padded to the most wanted in a row.
        """
        out = np.full(wanted.shape, -np.inf, np.float32)
        most = int(wanted.sum(1).max(initial=0))
        if not most:
            return out
        rows, columns = wanted.nonzero()
        counts = np.bincount(rows, minlength=len(slots))
        place = np.arange(len(rows)) - np.repeat(counts.cumsum() - counts, counts)
        length = int(np.minimum(self.written.take(slots), self.budget).max())
        batch = np.zeros((len(self.free), self.memory.shape[2], most), np.float32)
        slot = slots.take(rows)
        batch[slot, :, place] = embeddings.take(columns, 0)
        products = self.memory[:, :length] @ batch  # (S, length, most)
        empty = np.arange(length) >= self.written[:, None]
        products[empty] = -np.inf
        best = products.max(1, initial=-np.inf)[slot, place]
        out[rows, columns] = np.where(np.isnan(best), -np.inf, best)
        return out

    def _grow(self, count: int) -> None:
        budget, size = self.memory.shape[1:]
        self.memory = np.concatenate((self.memory, np.zeros((count, budget, size), np.float32)))
        self.written = np.concatenate((self.written, np.zeros(count, np.int64)))
        self.free = np.concatenate((self.free, np.ones(count, bool)))
