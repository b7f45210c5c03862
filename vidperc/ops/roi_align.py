"""RoIAlign (https://arxiv.org/abs/1703.06870, section 3): fixed-size features of regions by bilinear sampling.

torchvision's operator, but on the CPU, where that one runs on a single core, backwards too. There a bin is
a weighted sum of rows of the (pixels, channels) table that a channels_last map is: a bag of embeddings. The
samples of a bin lie at most a pixel apart, so that they share most of their pixels, and the weights of an
axis do not depend on the other one.
"""

from __future__ import annotations

import torch
import torchvision
from torch import Tensor
from torch.nn import functional as F


def roi_align(
    features: Tensor, rois: Tensor, size: int, scale: float, sampling_ratio: int = 0, aligned: bool = True
) -> Tensor:
    """Features (B, D, H, W) of regions as (P, D, size, size).

    Args:
        rois: (P, 5) image, x1, y1, x2, y2 in pixels of the images.
        scale: pixels of the map per pixel of the image.
        sampling_ratio: samples per bin and axis; 0 takes as many as there are pixels.
        aligned: pixels' values are those at their centres.
    """
    if not gathers(features) or len(rois) == 0:
        # In half precision regions would move by pixels.
        out = torchvision.ops.roi_align(features.float(), rois.float(), size, scale, sampling_ratio, aligned=aligned)
        return out.to(features.dtype)
    out = features.new_empty(len(rois), size, size, features.shape[1])
    every = torch.arange(len(rois), device=rois.device)
    roi_align_into(out, every, features, rois, scale, sampling_ratio, aligned)
    return out.permute(0, 3, 1, 2)


def gathers(features: Tensor) -> bool:
    """Whether regions of this map are gathered by `roi_align_into` rather than by torchvision's operator."""
    return features.device.type == "cpu"


def roi_align_into(
    out: Tensor, rows: Tensor, features: Tensor, rois: Tensor, scale: float, sampling_ratio: int, aligned: bool
) -> None:
    """The features of regions (R, 5) into these rows (R,) of `out` (P, size, size, D); else as `roi_align`."""
    _, channels, height, width = features.shape
    size = out.shape[1]
    if torch.is_grad_enabled() and features.requires_grad:
        features = features.float()  # gradients of many regions are summed up
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)  # a view of channels_last maps
    boxes = rois[:, 1:].float() * scale - (0.5 if aligned else 0.0)
    start, extent = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]  # (R, 2) x y
    extent = extent if aligned else extent.clamp(min=1)
    bins = extent / size
    counts = torch.full_like(bins, sampling_ratio) if sampling_ratio > 0 else bins.ceil().clamp(min=0)  # (R, 2)
    first_row = rois[:, 0].long() * (height * width)
    largest = counts.amax(1)
    for most in largest.unique().tolist():
        index = (largest == most).nonzero(as_tuple=True)[0]
        if most == 0:
            out[rows[index]] = 0
            continue
        x, x_weights = axis_taps(start[index, 0], bins[index, 0], counts[index, 0], int(most), width, size)
        y, y_weights = axis_taps(start[index, 1], bins[index, 1], counts[index, 1], int(most), height, size)
        pixels = (y * width)[:, :, None, :, None] + x[:, None, :, None, :]  # (G, size, size, Ky, Kx)
        pixels = pixels + first_row[index, None, None, None, None]
        weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]
        taps = pixels.shape[3] * pixels.shape[4]
        sums = F.embedding_bag(
            pixels.reshape(-1, taps).int(),
            table,
            per_sample_weights=weights.reshape(-1, taps).to(table.dtype),
            mode="sum",
        )
        out[rows[index]] = sums.view(-1, *out.shape[1:]).to(out.dtype)


def axis_taps(
    start: Tensor, bin_size: Tensor, counts: Tensor, most: int, length: int, size: int
) -> tuple[Tensor, Tensor]:
    """Which pixels of an axis each bin takes, and with what weights: two (R, size, K).

    Args:
        start, bin_size, counts: (R,) of each region, in pixels of the map; counts are samples per bin.
        most: the largest count.
        length: of the map's axis.
    """
    sample = torch.arange(most, device=start.device)
    used = sample < counts[:, None]  # (R, most)
    within = (sample + 0.5) / counts.clamp(min=1)[:, None]
    bins = torch.arange(size, device=start.device)
    position = start[:, None, None] + bin_size[:, None, None] * (bins[:, None] + within[:, None])  # (R, size, most)
    valid = (position >= -1) & (position <= length) & used[:, None]
    position = position.clamp(0, length - 1)
    low = position.floor()
    share = position - low
    weight = valid / counts.clamp(min=1)[:, None, None]
    low = low.long()
    first = low[..., 0]
    span = int((low.masked_fill(~used[:, None], 0).amax(-1) - first).clamp(min=0).amax()) + 2
    both = torch.stack([weight * (1 - share), weight * share], dim=-1).flatten(-2)  # (R, size, most * 2)
    pixels = torch.stack([low, (low + 1).clamp(max=length - 1)], dim=-1).flatten(-2)
    if span >= 2 * most:
        return pixels, both
    slot = (pixels - first[..., None]).clamp(max=span - 1)  # samples that are not used weigh nothing
    merged = both.new_zeros(*first.shape, span).scatter_add_(-1, slot, both)
    taps = first[..., None] + torch.arange(span, device=start.device)
    return taps.clamp(max=length - 1), merged
