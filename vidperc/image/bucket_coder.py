"""Boxes by their sides: which bucket a side is in, and where about it (SABL, https://arxiv.org/abs/1912.04260)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .box_coders import clip_boxes


class BucketTargets(NamedTuple):
    """What the codes of P priors shall be. S buckets on each of the sides left, right, upper, lower."""

    buckets: Tensor  # (P, 4, S) 1 for the bucket nearest to the side, else 0
    bucket_weights: Tensor  # (P, 4, S) 0 for other buckets closer than one width
    offsets: Tensor  # (P, 4, S) from the side to each bucket, in widths of a bucket
    offset_weights: Tensor  # (P, 4, S) 1 for the nearest bucket and, closer than one width, the second nearest


class BucketCoder:
    """Codes (..., 4, 2 * S): of each side the logits of its buckets, then the side's offset from each.

    Args:
        buckets: along a side of the enlarged prior; the S on each end are half of them.
        scale: how much priors are enlarged.
    """

    margin = 1
    near = 2  # buckets whose offset is learnt

    def __init__(self, buckets: int = 14, scale: float = 3.0) -> None:
        self.buckets, self.scale = buckets, scale
        self.side_buckets = -(-buckets // 2)

    def decode(self, priors: Tensor, codes: Tensor, max_size: tuple[int, int] | None = None) -> Tensor:
        """Boxes (..., 4) of codes (..., 4, 2 * S) on priors (..., 4), clipped to (height, width)."""
        logits, offsets = codes.split(self.side_buckets, dim=-1)
        centres, width = self.places(priors)
        best = logits.argmax(-1, keepdim=True)
        sides = centres.gather(-1, best) - offsets.gather(-1, best) * width  # (..., 4, 1)
        left, right, upper, lower = sides[..., 0].unbind(-1)
        boxes = torch.stack((left, upper, right, lower), dim=-1)
        return boxes if max_size is None else clip_boxes(boxes, (max_size[0] - self.margin, max_size[1] - self.margin))

    def confidence(self, codes: Tensor) -> Tensor:
        """How sure the sides are, (...): the mean score of their bucket and of the second best, if next to it."""
        score, bucket = codes[..., : self.side_buckets].softmax(-1).topk(2, dim=-1)
        together = (bucket[..., 0] - bucket[..., 1]).abs() == 1
        return (score[..., 0] + score[..., 1] * together).mean(-1)

    def encode(self, priors: Tensor, boxes: Tensor) -> BucketTargets:
        """What codes on priors (P, 4) shall be for boxes (P, 4)."""
        centres, width = self.places(priors)
        offsets = (centres - boxes[:, [0, 2, 1, 3], None]) / width
        away = offsets.abs()
        distance, nearest = away.topk(self.near, dim=-1, largest=False)
        buckets = torch.zeros_like(away).scatter_(-1, nearest[..., :1], 1.0)
        counts = (distance < 1).to(away.dtype)
        counts[..., 0] = 1
        return BucketTargets(
            buckets=buckets,
            bucket_weights=((away >= 1) | (buckets == 1)).to(away.dtype),
            offsets=offsets,
            offset_weights=torch.zeros_like(away).scatter_(-1, nearest, counts),
        )

    def places(self, priors: Tensor) -> tuple[Tensor, Tensor]:
        """Centres (..., 4, S) of the buckets, from the sides inwards, and their widths (..., 4, 1)."""
        centre, half = (priors[..., :2] + priors[..., 2:]) * 0.5, (priors[..., 2:] - priors[..., :2]) * self.scale * 0.5
        low, high = centre - half, centre + half
        sides = torch.stack((low[..., 0], high[..., 0], low[..., 1], high[..., 1]), dim=-1)[..., None]
        size = high - low
        width = (size / self.buckets).repeat_interleave(2, dim=-1)[..., None]
        inwards = torch.tensor([1.0, -1.0, 1.0, -1.0], device=priors.device)[:, None]
        steps = torch.arange(self.side_buckets, device=priors.device) + 0.5
        return sides + inwards * steps * width, width
