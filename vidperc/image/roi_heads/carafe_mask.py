"""Mask head that doubles the resolution by content (CARAFE, https://arxiv.org/abs/1905.02188, section 4.2)."""

from __future__ import annotations

from typing import Any

from ...layers.carafe import CARAFE
from .mask import MaskHead


class CARAFEMaskHead(MaskHead):
    """A `MaskHead` with CARAFE in place of its transposed convolution.

    The ReLU after it changes nothing: means of what is not negative are not negative.
    """

    def __init__(self, in_channels: int = 256, *, channels: int = 256, **options: Any) -> None:
        super().__init__(in_channels, channels=channels, **options)
        self.upsample = CARAFE(channels)  # type: ignore[assignment]
