"""Preprocessing of networks that Detectron2 trained: Pillow's resize instead of OpenCV's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .preprocess import Preprocessor


@dataclass(frozen=True)
class PillowPreprocessor(Preprocessor):
    """As `Preprocessor`, resized by Pillow's bilinear filter on uint8, which averages when it shrinks."""

    test_scale: tuple[int, int] | None = (1333, 360)

    def resize(self, array: np.ndarray) -> np.ndarray:
        """(H, W, 3) to its test size."""
        return self.resize_to(array, self.target_size(*array.shape[:2]))

    def resize_to(self, array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) to a (height, width)."""
        if array.shape[:2] == size:
            return array
        if array.dtype != np.uint8:
            array = np.clip(array + 0.5, 0, 255).astype(np.uint8)
        return np.array(Image.fromarray(array).resize((size[1], size[0]), Image.Resampling.BILINEAR))
