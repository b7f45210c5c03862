"""Square windows of a picture at one size, with a colour where they leave the picture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST_CUT = 1280  # pixels: side up to which a CPU cuts windows out one by one, many times faster than gathering


def window_bounds(centers: Tensor, sides: Tensor, width: int, height: int) -> Tensor:
    """First and last pixel (N, 4: x1 y1 x2 y2, inclusive, integers) of squares of `sides` (N,) about `centers` (N, 2).

    As the published trackers have it, fractions are cut off towards zero, and a window that leaves the
    picture of `width` x `height` at the right or at the bottom is one pixel shorter.
    """
    half = sides[:, None] / 2
    first, last = (centers - half).trunc(), (centers + half).trunc()
    limit = last.new_tensor([width, height])
    return torch.cat([first, last - (last >= limit).to(last.dtype)], 1)


def exact_window_bounds(centers: Tensor, sides: Tensor, width: int, height: int) -> Tensor:
    """As `window_bounds`, squares of exactly `sides` pixels, in or outside of the picture, as PySOT cuts them.

    A centre counts in pixels' corners here and in their middles there, hence the half.
    """
    first = (centers - sides[:, None] / 2 - 0.5).floor()
    return torch.cat([first, first + sides[:, None] - 1], 1)


def sample_windows(image: Tensor, bounds: Tensor, size: int, fill: Tensor) -> Tensor:
    """Resize windows of one picture to `size` x `size`, bilinearly, on the picture's device.

    Equal to cutting the windows from a picture padded with `fill` and resizing them with pixel centres
    aligned (`align_corners=False`); little memory is needed, whatever the window.

    Args:
        image: (3, H, W), uint8 or float.
        bounds: (N, 4) first and last pixel of each window, see `window_bounds`.
        size: side of the result.
        fill: (N, 3) colour outside of the picture.

    Returns:
        (N, 3, size, size) float32 in channels_last memory.
    """
    if image.device.type == "cpu" and bool((bounds[:, 2:] - bounds[:, :2] < LARGEST_CUT).all()):
        out = torch.empty(len(bounds), 3, size, size).to(memory_format=torch.channels_last)
        for sampled, window, colour in zip(out, bounds.long().tolist(), fill.float()):
            cut = _cut(image, window, colour)
            sampled.copy_(F.interpolate(cut[None], (size, size), mode="bilinear", align_corners=False)[0])
        return out
    return _gather(image, bounds, size, fill)


def _cut(image: Tensor, window: list[int], colour: Tensor) -> Tensor:
    """The window (first and last pixel) of a picture (3, H, W) as floats, `colour` (3,) where it leaves it."""
    x1, y1 = window[:2]
    x2, y2 = max(window[2], x1), max(window[3], y1)
    height, width = image.shape[1:]
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2 + 1, width), min(y2 + 1, height)
    inside = image[:, top : max(bottom, top), left : max(right, left)]
    inside = inside.to(torch.float32, memory_format=torch.contiguous_format)  # three channels are resized faster so
    if (left, top, right, bottom) == (x1, y1, x2 + 1, y2 + 1):
        return inside
    canvas = colour[:, None, None].repeat(1, y2 + 1 - y1, x2 + 1 - x1)
    canvas[:, top - y1 : max(bottom, top) - y1, left - x1 : max(right, left) - x1] = inside
    return canvas


def _gather(image: Tensor, bounds: Tensor, size: int, fill: Tensor) -> Tensor:
    """`sample_windows` for all windows at once, by gathering the four neighbours of each pixel."""
    pixels = image.permute(1, 2, 0)  # (H, W, 3)
    y_low, y_high, y_weight, y_inside = _taps(bounds[:, 1], bounds[:, 3], size, pixels.shape[0])
    x_low, x_high, x_weight, x_inside = _taps(bounds[:, 0], bounds[:, 2], size, pixels.shape[1])
    colour = fill.float()[:, None, None]  # (N, 1, 1, 3)

    def gather(y: int, x: int) -> Tensor:
        rows, columns = (y_low, y_high)[y], (x_low, x_high)[x]
        values = pixels[rows[:, :, None], columns[:, None, :]].float()  # (N, size, size, 3)
        inside = y_inside[y][:, :, None] & x_inside[x][:, None, :]
        return torch.where(inside[..., None], values, colour)

    weight = x_weight[:, None, :, None]
    top = torch.lerp(gather(0, 0), gather(0, 1), weight)
    bottom = torch.lerp(gather(1, 0), gather(1, 1), weight)
    return torch.lerp(top, bottom, y_weight[:, :, None, None]).permute(0, 3, 1, 2)


def outside_samples(bounds: Tensor, size: int, width: int, height: int) -> Tensor:
    """Which samples of `sample_windows` take anything from outside of a picture of `width` x `height`.

    Args:
        bounds, size: as there.

    Returns:
        (N, size, size) bool.
    """
    x, y = (_lies_inside(bounds[:, i], bounds[:, i + 2], size, limit) for i, limit in enumerate((width, height)))
    return ~(y[:, :, None] & x[:, None, :])


def _lies_inside(first: Tensor, last: Tensor, size: int, limit: int) -> Tensor:
    """(N, size): whether all neighbours that have a weight lie in 0..limit-1."""
    _, _, weight, (low, high) = _taps(first, last, size, limit)
    return low & (high | (weight == 0))


def _taps(first: Tensor, last: Tensor, size: int, limit: int) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
    """For `size` samples over pixels first..last (N,): both neighbours, clamped into 0..limit-1 (N, size),

    the weight of the second, and whether each neighbour lies inside of the picture.
    """
    length = last - first + 1  # (N,)
    step = torch.arange(size, device=first.device, dtype=torch.float32) + 0.5
    position = (step * (length / size)[:, None] - 0.5).clamp(min=0)  # (N, size)
    low = position.floor()
    high = torch.minimum(low + 1, length[:, None] - 1)
    weight = position - low
    low, high = low + first[:, None], high + first[:, None]
    inside = tuple((at >= 0) & (at < limit) for at in (low, high))
    low, high = (at.clamp(0, limit - 1).long() for at in (low, high))
    return low, high, weight, inside  # type: ignore[return-value]
