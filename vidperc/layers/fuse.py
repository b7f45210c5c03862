"""What does not change at inference folded into convolutions: batch normalisation, weights made from weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .deform_conv import DeformConv
from .replace import replace_layers

CONVOLUTIONS = (nn.Conv2d, DeformConv)


def conv_norm_pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of the children of which the second normalises what the first convolves.

    A module names its own in `conv_norm_pairs`; in an `nn.Sequential` they stand side by side.
    """
    yield from getattr(module, "conv_norm_pairs", ())
    if isinstance(module, nn.Sequential):
        names = [name for name, _ in module.named_children()]
        yield from zip(names, names[1:])


@torch.no_grad()
def fuse_conv_norm(model: nn.Module) -> nn.Module:
    """Fold every batch norm into its convolution, in place.

    Layers that have `folded()` give way to what it returns, as `StandardisedConv` to a plain convolution, before
    that. The convolution gets weight * scale and a bias, the norm becomes an identity: the outputs are the same up
    to rounding, with one pass over the features less. From then on the state dict holds the folded
    convolutions and no norms, so checkpoints are loaded before, and a model that shall learn is not fused.
    A convolution that several modules share, each with its own norm, stays as it is.
    """
    replace_layers(model, lambda layer: layer.folded() if hasattr(layer, "folded") else None)  # type: ignore[operator]
    pairs = [(module, *names) for module in model.modules() for names in conv_norm_pairs(module)]
    uses = Counter(id(getattr(module, conv_name, None)) for module, conv_name, _ in pairs)
    for module, conv_name, norm_name in pairs:
        conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
        foldable = isinstance(norm, _BatchNorm) and norm.running_mean is not None
        if isinstance(conv, CONVOLUTIONS) and foldable and uses[id(conv)] == 1:
            fold(conv, norm)  # type: ignore[arg-type]
            setattr(module, norm_name, nn.Identity())
    return model


def fold(conv: nn.Conv2d | DeformConv, norm: _BatchNorm) -> None:
    """Put the norm's running statistics, scale and shift into the convolution."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = (variance.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    bias = torch.zeros_like(mean) if conv.bias is None else conv.bias
    shifted = (bias.double() - mean.double()) * scale
    if norm.affine:
        shifted = shifted + norm.bias.double()
    dtype = conv.weight.dtype
    conv.weight.copy_((conv.weight.double() * scale[:, None, None, None]).to(dtype))
    conv.bias = nn.Parameter(shifted.to(dtype), requires_grad=conv.weight.requires_grad)
