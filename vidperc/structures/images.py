"""ImageList: images of different sizes as one padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(slots=True)
class ImageList:
    """A padded batch, ready for a network, and what is needed to map boxes back.

    `sizes` are the valid (height, width) inside the padding, `original_sizes` those before the
    resize, `scales` the (x, y) factors from original to resized pixels. `padded_alone` are the sizes with
    the padding that an image has of its own, not to even out the batch: by default none.
    """

    tensor: Tensor  # (B, 3, H, W) normalised, channels_last in memory
    sizes: list[tuple[int, int]]
    original_sizes: list[tuple[int, int]]
    scales: list[tuple[float, float]]
    padded_alone: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.padded_alone = self.padded_alone or self.sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def take(self, rows: Sequence[int]) -> ImageList:
        """The images at `rows`."""
        return ImageList(
            self.tensor[list(rows)],
            [self.sizes[row] for row in rows],
            [self.original_sizes[row] for row in rows],
            [self.scales[row] for row in rows],
            [self.padded_alone[row] for row in rows],
        )

    @property
    def padded_size(self) -> tuple[int, int]:
        """(height, width) of the batch tensor."""
        return self.tensor.shape[-2], self.tensor.shape[-1]
