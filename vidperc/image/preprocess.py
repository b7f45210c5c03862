"""From pictures to the padded, normalised batch a network sees, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from ..structures import ImageList

Image = np.ndarray | Tensor


def as_rgb_array(image: Image, name: str = "image") -> np.ndarray:
    """Any picture as (H, W, 3) RGB, uint8 where it was of integers.

    Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); tensors are (3, H, W). Grey is repeated,
    alpha is dropped, 16-bit is reduced to its upper 8 bits.

    Raises:
        ValueError: another shape or type, or a side of fewer than 2 pixels.
    """
    if isinstance(image, Tensor):
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"{name}: a tensor must be (3, H, W), got {tuple(image.shape)}")
        image = image.permute(1, 2, 0).cpu().numpy()
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ValueError(f"{name}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {image.shape}")
    if min(image.shape[:2]) < 2:
        raise ValueError(f"{name}: expected at least 2x2 pixels, got {image.shape[1]}x{image.shape[0]}")
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype not in (np.uint8, np.float32):
        raise ValueError(f"{name}: expected uint8, uint16 or float32 values from 0 to 255, got {image.dtype}")
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return image[:, :, :3]


@dataclass(frozen=True)
class Preprocessor:
    """Resize, normalise and pad, as the published checkpoints were trained with.

    Args:
        test_scale: with `keep_ratio` the (longer, shorter) side an image is fitted in, else its
            (width, height). None leaves the size as it is.
        mean, std: per channel, in the network's channel order.
        bgr: the network takes blue first.
        pad_divisor: sides of the batch are multiples of this.
        float_resize: interpolate floats; else uint8, rounding as OpenCV does.
        pad_value: what the padding holds, after normalisation.
    """

    test_scale: tuple[int, int] | None = (1333, 800)
    keep_ratio: bool = True
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    bgr: bool = False
    pad_divisor: int = 32
    float_resize: bool = False
    pad_value: float = 0.0

    def __call__(self, images: Sequence[Image], device: torch.device | str = "cpu") -> ImageList:
        """The batch of `images`, each resized for testing."""
        arrays = [as_rgb_array(image, f"image {i}") for i, image in enumerate(images)]
        resized = [self.resize(array) for array in arrays]
        return self.batch(resized, device, [array.shape[:2] for array in arrays])  # type: ignore[misc]

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) after the test-time resize."""
        if self.test_scale is None:
            return height, width
        if not self.keep_ratio:
            return self.test_scale[1], self.test_scale[0]
        longer, shorter = max(self.test_scale), min(self.test_scale)
        scale = min(longer / max(height, width), shorter / min(height, width))
        return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of the batch that an image of this size makes alone."""
        return self.padded(*self.target_size(height, width))

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a batch that holds pictures of up to this size."""
        return -(-height // self.pad_divisor) * self.pad_divisor, -(-width // self.pad_divisor) * self.pad_divisor

    def resize(self, array: np.ndarray) -> np.ndarray:
        """(H, W, 3) to its test size, bilinear, by OpenCV."""
        height, width = self.target_size(*array.shape[:2])
        if self.float_resize:
            array = array.astype(np.float32)
        if (height, width) == array.shape[:2]:
            return array
        return cv2.resize(array, (width, height), interpolation=cv2.INTER_LINEAR)

    def batch(
        self,
        arrays: Sequence[np.ndarray],
        device: torch.device | str = "cpu",
        original_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> ImageList:
        """Normalise and pad (H, W, 3) RGB arrays that have their final size."""
        sizes = [(array.shape[0], array.shape[1]) for array in arrays]
        originals = sizes if original_sizes is None else list(original_sizes)
        height, width = self.padded(max(h for h, _ in sizes), max(w for _, w in sizes))
        mean = torch.tensor(self.mean, device=device)
        factor = 1 / torch.tensor(self.std, dtype=torch.float64, device=device)
        out = torch.full((len(arrays), height, width, 3), self.pad_value, device=device)
        for row, array, (h, w) in zip(out, arrays, sizes):
            pixels = torch.from_numpy(np.ascontiguousarray(array)).to(device)
            pixels = pixels.flip(-1) if self.bgr else pixels
            row[:h, :w] = (pixels.float() - mean).mul_(factor.float())
        scales = [(w / ow, h / oh) for (h, w), (oh, ow) in zip(sizes, originals)]
        return ImageList(out.permute(0, 3, 1, 2), sizes, originals, scales, [self.padded(h, w) for h, w in sizes])

    def pixels(self, images: ImageList) -> Tensor:
        """The batch as RGB from 0 to 255 again, for networks with a normalisation of their own."""
        mean = images.tensor.new_tensor(self.mean)[:, None, None]
        pixels = images.tensor * images.tensor.new_tensor(self.std)[:, None, None] + mean
        return pixels.flip(1) if self.bgr else pixels

    def with_scale(self, test_scale: tuple[int, int]) -> Preprocessor:
        """The same with another test scale."""
        return replace(self, test_scale=test_scale)


@dataclass(frozen=True)
class SquarePreprocessor(Preprocessor):
    """As `Preprocessor`, padded to a square."""

    def padded(self, height: int, width: int) -> tuple[int, int]:
        return super().padded(max(height, width), max(height, width))
