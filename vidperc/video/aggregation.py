"""Aggregation of features by likeness (FGFA; Zhu et al. 2017, https://arxiv.org/abs/1703.10025, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.packed_conv import linear
from ..ops.warp import Taps, bilinear_taps, table_of, take, warp

EPSILON = 1e-12  # the least length of an embedding


class Aggregator(nn.Module):
    """The mean of the references' features, weighted at each cell by their likeness to the key.

    Likeness is that of embeddings of the moved features. At inference on a CPU the embedding's first convolution
    comes before the moving, which is linear as well: the products of its taps are computed once per frame
    (`products`), and a moved embedding is a weighted sum of four of them for each tap. That is a hundred times
    fewer multiplications than a convolution for every pair of frames.

    Args:
        channels: of the features.
        convs: of the embedding that likeness is measured in.
    """

    def __init__(self, channels: int = 512, convs: int = 1, kernel_size: int = 3) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2) for _ in range(convs)
        )

    def forward(self, key: Tensor, references: Tensor, counts: Tensor) -> Tensor:
        """The aggregated features (1, D, H, W).

        Args:
            key: (1, D, H, W).
            references: (R, D, H, W), moved onto the key.
            counts: (R,) how many times each of them counts.
        """
        likeness = (self.embed(references) * self.embed(key)).sum(1, keepdim=True)  # (R, 1, H, W)
        weights = torch.softmax(likeness + counts.log()[:, None, None, None], dim=0)
        return (references * weights.to(references.dtype)).sum(0, keepdim=True)

    def embed(self, features: Tensor) -> Tensor:
        """Unit vectors (B, D, H, W) of features."""
        for number, conv in enumerate(self.convs):
            features = conv(F.relu(features) if number else features)
        return F.normalize(features.float(), dim=1, eps=EPSILON)

    def products(self, features: Tensor) -> Tensor:
        """What each tap of the first convolution makes of features (1, D, H, W): (taps, H W, D)."""
        conv: Any = self.convs[0]
        weight = conv.weight.permute(2, 3, 0, 1).flatten(0, 1)  # (taps, O, I)
        every = linear(table_of(features[0]), weight.flatten(0, 1))  # (H W, taps O)
        return every.unflatten(1, weight.shape[:2]).transpose(0, 1).contiguous()

    def aggregate(
        self, key: Tensor, features: Sequence[Tensor], products: Sequence[Tensor], flows: Tensor, counts: Tensor
    ) -> Tensor:
        """As `forward`, from references that are not moved yet, at inference.

        Args:
            key: (1, D, H, W); the first reference, which is not moved.
            features: (1, D, H, W) of each other reference.
            products: theirs, from `products`.
            flows: (R - 1, 2, H, W) from the key to each of them.
            counts: (R,) how many times each of them counts, the key first.
        """
        if not products:
            return self(key, torch.cat([key, warp(torch.cat(list(features)), flows)]), counts)
        size = key.shape[-2:]
        taps = bilinear_taps(flows)
        own = self.embed(key)[0].permute(1, 2, 0).flatten(0, 1)  # (H W, D)
        neighbours, inside = self._neighbours(size, key.device)
        likeness = [torch.linalg.vecdot(own, own)]
        for product, cells, weights in zip(products, *taps):
            moved = self._moved_embedding(product, Taps(cells, weights), neighbours, inside, size)
            length = torch.linalg.vector_norm(moved, dim=1).clamp(min=EPSILON)
            likeness.append(torch.linalg.vecdot(moved, own) / length)
        shares = torch.softmax(torch.stack(likeness) + counts.log()[:, None], dim=0)  # (R, H W)
        out = table_of(key[0]).float() * shares[0, :, None]
        for one, cells, weights, share in zip(features, *taps, shares[1:]):
            out += take(table_of(one[0]), cells, weights * share[:, None])
        return out.to(key.dtype).unflatten(0, size).permute(2, 0, 1)[None]

    def _neighbours(self, size: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """The cell that each tap meets at each output cell, and whether it is on the map: (H W, taps) each."""
        height, width = size
        reach = torch.arange(self.kernel_size, device=device) - self.kernel_size // 2
        y = torch.arange(height, device=device)[:, None, None, None] + reach[:, None]  # (H, 1, k, 1)
        x = torch.arange(width, device=device)[:, None, None] + reach  # (W, 1, k)
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)  # (H, W, k, k)
        cells = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
        return cells.flatten(2).flatten(0, 1), inside.flatten(2).flatten(0, 1)

    def _moved_embedding(
        self, product: Tensor, taps: Taps, neighbours: Tensor, inside: Tensor, size: Sequence[int]
    ) -> Tensor:
        """The embedding (H W, D) of one moved reference, of any length."""
        first = torch.arange(len(product), device=product.device)[:, None] * product.shape[1]
        rows = (taps.cells[neighbours] + first).flatten(1)  # (H W, taps 4)
        weights = (taps.weights[neighbours] * inside[:, :, None]).flatten(1)
        embedding = take(product.flatten(0, 1), rows, weights)
        bias: Any = self.convs[0].bias
        embedding += bias.to(embedding.dtype)
        for conv in list(self.convs)[1:]:
            hidden = F.relu(embedding).unflatten(0, tuple(size)).permute(2, 0, 1)[None]
            embedding = table_of(conv(hidden)[0])
        return embedding.float()
