"""Convolutions and products for inference on a CPU by oneDNN, weights laid out once as the kernels take them.

`torch.nn.functional.conv2d` brings a weight into the layout of oneDNN's kernel at every call. With pictures one at
a time that is a fifth of the time of a bfloat16 convolution with large weights. Here it is done once, and the ReLU
and the sum of a residual block happen while the results are still in the registers. The operators are those that
torch's own compiler puts into CPU programs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

OPS = torch.ops.mkldnn
LEAST_PRODUCTS = 2**22  # of a linear layer; with fewer, calling oneDNN costs more than it saves


def can_pack(device: torch.device) -> bool:
    """Whether this build of torch has the kernels for tensors of `device`."""
    return device.type == "cpu" and torch.backends.mkldnn.is_available()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear` of x (..., I) with weight (O, I), by oneDNN's kernels where they are faster.

    That is in float32 without gradients. They use the widest registers of any x86-64 processor. MKL's, which torch
    takes, use those of some processors only, and need twice the time on others.
    """
    plain = torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    small = x.numel() * weight.shape[0] < LEAST_PRODUCTS
    if plain or small or not x.dtype == weight.dtype == torch.float32 or not can_pack(x.device):
        return F.linear(x, weight, bias)
    return OPS._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")


class ConvWeight:
    """A convolution's weight as oneDNN's kernels take it: those for one picture and those for several differ.

    A kernel that is given the other's layout brings it into its own at each call, in bfloat16 in up to 60 ms. The
    second layout is made when it is first needed.

    Args:
        weight: (O, I / groups, k, k).
        geometry: padding, stride, dilation and groups, as oneDNN's operators take them.
        side: of the square inputs that the layouts are chosen for.
    """

    def __init__(self, weight: Tensor, geometry: tuple[list[int], list[int], list[int], int], side: int) -> None:
        self.geometry, self.shape = geometry, [weight.shape[1] * geometry[3], side, side]
        self.one = self._lay_out(weight, 1)
        self.several: Tensor | None = None

    def of(self, x: Tensor) -> Tensor:
        """The layout for inputs x (B, I, H, W)."""
        if len(x) == 1:
            return self.one
        if self.several is None:
            self.several = self._lay_out(self.one.to_dense(), 2)
        return self.several

    def _lay_out(self, weight: Tensor, pictures: int) -> Tensor:
        return OPS._reorder_convolution_weight(weight, *self.geometry, [pictures, *self.shape])


class PackedConv:
    """A convolution of stride, padding and dilation alike in both directions, with a ReLU where asked for.

    Args:
        weight: (O, I, k, k), its precision is that of the inputs.
        bias: (O,) or None.
        side: of the square inputs that the layout is chosen for; others give the same, perhaps more slowly.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: int,
        padding: int,
        dilation: int,
        *,
        relu: bool = False,
        side: int = 32,
    ) -> None:
        self.bias, self.activation = bias, "relu" if relu else "none"
        self.geometry = ([padding] * 2, [stride] * 2, [dilation] * 2, 1)
        self.weight = ConvWeight(weight, self.geometry, side)

    def __call__(self, x: Tensor) -> Tensor:
        """(B, O, H', W') of x (B, I, H, W), in channels_last memory."""
        weight = self.weight.of(x)
        return OPS._convolution_pointwise(x, weight, self.bias, *self.geometry, self.activation, [], "")

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """`total` (B, O, H', W') plus the convolution, then the ReLU where there is one; changes `total`."""
        activation = None if self.activation == "none" else self.activation
        return OPS._convolution_pointwise_.binary(
            total, x, self.weight.of(x), self.bias, *self.geometry, "add", 1.0, activation, [], ""
        )


class PackedProducts:
    """Products of matrices (G, M, I) in float32 with G fixed ones.

    Faster than `torch.bmm`, which copies the fixed ones at each call and is MKL's (see `linear`).

    Args:
        matrices: (G, I, O).
        rows: M for which the layout is chosen.
    """

    def __init__(self, matrices: Tensor, rows: int = 64) -> None:
        self.out_channels = matrices.shape[2]
        self.matrices = [OPS._reorder_linear_weight(each.t().contiguous(), rows) for each in matrices]

    def __call__(self, points: Tensor, out: Tensor) -> None:
        """Write the products (G, M, O) with points (G, M, I) to `out`."""
        torch.stack(
            [OPS._linear_pointwise(*pair, None, "none", [], "") for pair in zip(points, self.matrices)], out=out
        )
