"""Attention of several heads (https://arxiv.org/abs/1706.03762, section 3.2.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .packed_conv import linear


class MultiheadAttention(nn.Module):
    """Tensors named as those of PyTorch's own `nn.MultiheadAttention`, batch first, without the weights as an output.

    That one hands its projections transposed inputs, for which a linear layer in bf16 copies its weight for every
    query; here they stay in order.

    Args:
        channels: D, divided among the heads.
        dropout: of the attention's weights.
    """

    def __init__(self, channels: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide among {heads} heads")
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        """Queries (B, Q, D) look at keys and values (B, S, D); `padding` (B, S) is true where there is nothing."""
        mask = None if padding is None else ~padding[:, None, None]
        dropout = self.dropout if self.training else 0.0
        q, k, v = (self._project(x, part) for part, x in enumerate((query, key, value)))
        seen = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)  # (B, heads, Q, D / heads)
        return self.out_proj(seen.transpose(1, 2).flatten(2))

    def _project(self, x: Tensor, part: int) -> Tensor:
        """(B, S, D) to (B, heads, S, D / heads)."""
        rows = slice(part * x.shape[-1], (part + 1) * x.shape[-1])
        projected = linear(x.contiguous(), self.in_proj_weight[rows], self.in_proj_bias[rows])
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
