"""Masks as run lengths (RLE, COCO's form): encoded, decoded, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from pycocotools import mask as codec
from torch import Tensor


class RLE(TypedDict):
    """Run lengths of a mask, column by column, beginning with background."""

    size: list[int]  # [height, width]
    counts: str


def encode_masks(masks: Tensor | np.ndarray) -> list[RLE]:
    """(N, H, W) bool to N RLEs."""
    masks = masks.cpu().numpy() if isinstance(masks, Tensor) else masks
    return [_as_text(codec.encode(np.asfortranarray(mask, dtype=np.uint8))) for mask in masks]


def decode_masks(rles: Sequence[RLE], size: tuple[int, int]) -> Tensor:
    """RLEs of one (height, width) to (N, H, W) bool.

    Raises:
        ValueError: an RLE of another size, or whose runs do not fill it.
    """
    for number, rle in enumerate(rles):
        check_rle(rle, size, f"mask {number}")
    if not rles:
        return torch.zeros(0, *size, dtype=torch.bool)
    planes = codec.decode([{"size": list(size), "counts": rle["counts"].encode()} for rle in rles])  # (H, W, N)
    return torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1))).bool()


def as_rle(segmentation: Any, size: tuple[int, int], name: str = "segmentation") -> RLE | None:
    """An annotation's segmentation as RLE: of text or list counts, or polygons. None stays None.

    Raises:
        ValueError: another form, or of another size than `size` (height, width); names it by `name`.
    """
    if segmentation is None:
        return None
    if isinstance(segmentation, list):
        if not segmentation:
            return None
        return _as_text(codec.merge(codec.frPyObjects(segmentation, *size)))
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError(f"{name}: expected null, polygons, or an RLE with 'size' and 'counts'")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if tuple(segmentation["size"]) != size or sum(counts) != size[0] * size[1]:
            raise ValueError(
                f"{name}: RLE of size {segmentation['size']} with {sum(counts)} pixels, expected {list(size)}"
            )
        return _as_text(codec.frPyObjects({"size": list(size), "counts": counts}, *size))
    rle: RLE = {"size": list(segmentation["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}
    check_rle(rle, size, name)
    return rle


def check_rle(rle: RLE, size: tuple[int, int], name: str = "mask") -> None:
    """Nothing where the RLE is of a (height, width) and fills it.

    Raises:
        ValueError: it is not; names it by `name`.
    """
    if tuple(rle["size"]) != tuple(size):
        raise ValueError(f"{name}: RLE of size {list(rle['size'])}, the frame has {list(size)} (height, width)")
    filled = int(run_lengths(rle).sum())
    if filled != size[0] * size[1]:
        raise ValueError(f"{name}: the RLE's runs have {filled} pixels, {size[0]} x {size[1]} has {size[0] * size[1]}")


def run_lengths(rle: RLE) -> np.ndarray:
    """The lengths of the runs (K,), background first.

    A length is written as digits of 5 bits, lowest first, 0x20 telling that more follow and the last one's
    0x10 the sign; from the fourth on a length is the difference from the one two before.
    """
    codes = np.frombuffer(rle["counts"].encode(), np.uint8).astype(np.int64) - 48
    if not len(codes):
        return np.zeros(0, np.int64)
    last = (codes & 0x20) == 0
    if not last[-1] or (codes < 0).any() or (codes > 63).any():
        raise ValueError("RLE counts end in the middle of a number, or hold characters that are none of its digits")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    negative = (codes[ends] & 0x10) != 0
    numbers -= np.where(negative, np.int64(1) << (5 * (place[ends] + 1)), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def rle_edges(rle: RLE) -> np.ndarray:
    """Positions, column by column, where the mask begins and ends in turn, (2 K,) ascending."""
    edges = np.cumsum(run_lengths(rle))
    return edges if len(edges) % 2 == 0 else edges[:-1]


def rle_area(rle: RLE) -> int:
    """Number of pixels."""
    return int(run_lengths(rle)[1::2].sum())


def pairwise_intersection(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> np.ndarray:
    """Pixels that masks share, from their edges (see `rle_edges`), (len(a), len(b)).

    Between two neighbouring edges of any of the masks, every mask is either there or not: the masks are
    rows over these pieces, and what they share is a matrix product. Nothing is decoded.
    """
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    pieces = np.unique(np.concatenate([*a, *b, [0]]))
    lengths = np.diff(pieces, append=pieces[-1:]).astype(np.float64)

    def rows(masks: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([np.searchsorted(edges, pieces, side="right") % 2 for edges in masks]).astype(np.float64)

    return (rows(a) * lengths) @ rows(b).T


def _as_text(rle: dict[str, Any]) -> RLE:
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}
