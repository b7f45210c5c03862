"""Swin Transformer (https://arxiv.org/abs/2103.14030): attention inside windows that shift from block to block.

Tensors are named as in the authors' release, which Detectron2's checkpoints follow too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from ...layers.drop_path import DropPath


class Size(NamedTuple):
    """Channels of the first stage, blocks and heads of all four; the channels double from stage to stage."""

    channels: int
    blocks: tuple[int, ...]
    heads: tuple[int, ...]


SIZES = {
    "tiny": Size(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "small": Size(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "base": Size(128, (2, 2, 18, 2), (4, 8, 16, 32)),
    "large": Size(192, (2, 2, 18, 2), (6, 12, 24, 48)),
}


class WindowAttention(nn.Module):
    """Attention among the pixels of each window, with a learned bias for every offset between two of them."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def bias(self) -> Tensor:
        """(heads, P, P) of the P = window * window pixels."""
        place = torch.arange(self.window, device=self.relative_position_bias_table.device)
        offset = place[:, None] - place + self.window - 1  # (window, window)
        rows, columns = offset[:, None, :, None], offset[None, :, None, :]
        index = rows * (2 * self.window - 1) + columns  # (y, x, y', x')
        return self.relative_position_bias_table[index.reshape(self.window**2, -1)].permute(2, 0, 1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Windows (B, K, P, C); `mask` (K, P, P) is added to the logits."""
        batch, count, pixels, channels = x.shape
        qkv = self.qkv(x).view(batch * count, pixels, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B * K, heads, P, D) each
        bias = self.bias()
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(batch, 1, 1, 1)  # (B * K, heads, P, P)
        out = scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(out.transpose(1, 2).reshape(batch, count, pixels, channels))


class SwinMLP(nn.Module):
    """Two linear layers."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class SwinBlock(nn.Module):
    """Window attention, its windows moved by `shift` pixels, then a two-layer network."""

    def __init__(self, channels: int, heads: int, *, window: int, shift: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.window, self.shift, self.drop_path = window, shift, DropPath(drop_path)
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = SwinMLP(channels, 4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C)"""
        x = x + self.drop_path(self._attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))

    def _attend(self, x: Tensor) -> Tensor:
        height, width, size = x.shape[1], x.shape[2], self.window
        x = pad(x, (0, 0, 0, -width % size, 0, -height % size))
        mask = None
        if self.shift:
            mask = shift_mask(x.shape[1], x.shape[2], size, self.shift, x.device)
            x = x.roll((-self.shift, -self.shift), (1, 2))
        batch, rows, columns, channels = x.shape[0], x.shape[1] // size, x.shape[2] // size, x.shape[3]
        windows = x.view(batch, rows, size, columns, size, channels).transpose(2, 3)
        out = self.attn(windows.reshape(batch, rows * columns, size * size, channels), mask)
        x = out.view(batch, rows, columns, size, size, channels).transpose(2, 3).reshape(x.shape)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x[:, :height, :width]


def shift_mask(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """(K, P, P), -100 between pixels of a shifted window that are no neighbours in the picture, else 0."""

    def region(length: int) -> Tensor:
        place = torch.arange(length, device=device)
        return (place >= length - window).int() + (place >= length - shift).int()

    number = region(height)[:, None] * 3 + region(width)
    windows = number.view(height // window, window, width // window, window).transpose(1, 2).reshape(-1, window**2)
    return torch.where(windows[:, None] == windows[:, :, None], 0.0, -100.0)


class PatchMerging(nn.Module):
    """Four neighbouring pixels as one of twice the channels: (B, H, W, C) to (B, H / 2, W / 2, 2 C), rounded up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        x = pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        return self.reduction(self.norm(self.gather(x)))

    def gather(self, x: Tensor) -> Tensor:
        """The four pixels one after the other, down before right."""
        return torch.cat((x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]), dim=-1)


class UnfoldMerging(PatchMerging):
    """As MMDetection's checkpoints have it: channel by channel, right before down."""

    def gather(self, x: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        x = x.view(batch, height // 2, 2, width // 2, 2, channels)
        return x.permute(0, 1, 3, 5, 2, 4).reshape(batch, height // 2, width // 2, 4 * channels)


class SwinStage(nn.Module):
    """Blocks of one resolution, every second one shifted, and the merging that follows them."""

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        window: int,
        drop_paths: Sequence[float],
        merging: type[PatchMerging] | None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(channels, heads, window=window, shift=window // 2 * (index % 2), drop_path=drop)
            for index, drop in enumerate(drop_paths)
        )
        self.downsample = None if merging is None else merging(channels)


class PatchEmbedding(nn.Module):
    """Squares of 4x4 pixels to vectors; pictures are padded to multiples of 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, 4, stride=4)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, H / 4, W / 4, C)"""
        x = pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4))
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class SwinTransformer(nn.Module):
    """Images (B, 3, H, W) to the normalised outputs of the stages in `out_indices`, strides 4, 8, 16, 32.

    Args:
        size: "tiny", "small", "base" or "large", or another one.
        window: side of the windows, 7 or 12.
        out_indices: which of the stages 0 to 3 are given out.
        drop_path: rate of the last block's stochastic depth; it rises linearly from 0.
        merging: `PatchMerging`, or `UnfoldMerging` for MMDetection's checkpoints.
    """

    def __init__(
        self,
        size: str | Size = "tiny",
        *,
        window: int = 7,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        drop_path: float = 0.2,
        merging: type[PatchMerging] = PatchMerging,
    ) -> None:
        super().__init__()
        if isinstance(size, str):
            if size not in SIZES:
                raise ValueError(f"Swin '{size}': expected one of {', '.join(SIZES)}")
            size = SIZES[size]
        channels, depths, heads = size
        self.out_indices = tuple(out_indices)
        self.out_channels = [channels * 2**stage for stage in self.out_indices]
        self.patch_embed = PatchEmbedding(channels)
        rates = [drop_path * index / (sum(depths) - 1) for index in range(sum(depths))]
        self.layers = nn.ModuleList()
        for stage, depth in enumerate(depths):
            start = sum(depths[:stage])
            self.layers.append(
                SwinStage(
                    channels * 2**stage, heads[stage], window=window, drop_paths=rates[start : start + depth],
                    merging=merging if stage < len(depths) - 1 else None,
                )
            )  # fmt: skip
        for stage in self.out_indices:
            self.add_module(f"norm{stage}", nn.LayerNorm(channels * 2**stage))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.patch_embed(x)
        features = []
        for stage, layer in enumerate(self.layers):
            for block in layer.blocks:  # type: ignore[union-attr]
                x = block(x)
            if stage in self.out_indices:
                features.append(getattr(self, f"norm{stage}")(x).permute(0, 3, 1, 2))
            if layer.downsample is not None:
                x = layer.downsample(x)  # type: ignore[operator]
        return features


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
