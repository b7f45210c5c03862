"""FlowNet-S: optical flow of two pictures (Dosovitskiy et al. 2015, https://arxiv.org/abs/1504.06852).

As the published video detectors use it: on pictures of half size, coarse to fine.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..structures import ImageList

MEAN = (0.411, 0.432, 0.450)  # of pictures in [0, 1], what FlowNet was trained with
CONVS = {  # name -> (in, out, kernel, stride) of each convolution, in units of the first's width
    "conv1": [(0, 1, 7, 2)],
    "conv2": [(1, 2, 5, 2)],
    "conv3": [(2, 4, 5, 2), (4, 4, 3, 1)],
    "conv4": [(4, 8, 3, 2), (8, 8, 3, 1)],
    "conv5": [(8, 8, 3, 2), (8, 8, 3, 1)],
    "conv6": [(8, 16, 3, 2), (16, 16, 3, 1)],
}
SCALE = 5.0  # of the published weights' output: pixels of the prepared picture / 20, at a quarter of its size
REFINE = {5: (16, 8), 4: (16, 4), 3: (12, 2), 2: (6, 1)}  # level -> in, out of its deconvolution, in the same unit
SLOPE = 0.1  # of the leaky ReLUs
THIN_FROM = 128  # channels from which `thin_conv` pays
FLOW = 2  # channels of a flow, which joins the features from level 4 on


class FlowNetS(nn.Module):
    """Flow from the first picture of a pair to the second.

    The first convolution is linear in its two pictures: each frame's two halves of it are computed once (`halves`),
    and a pair begins with their sum.

    Args:
        image_scale: factor by which the pictures shrink before the network sees them.
        width: channels of the first convolution, 64 in the published network.
    """

    def __init__(self, image_scale: float = 0.5, width: int = 64) -> None:
        super().__init__()
        self.image_scale = image_scale
        for name, layers in CONVS.items():
            convs = [nn.Conv2d(i * width or 6, o * width, k, s, k // 2) for i, o, k, s in layers]
            self.add_module(name, nn.Sequential(*convs))
        for level, (inputs, outputs) in REFINE.items():
            channels = inputs * width + (FLOW if level < 5 else 0)
            self.add_module(f"deconv{level}", nn.ConvTranspose2d(channels, outputs * width, 4, 2, 1, bias=False))
            self.add_module(f"predict_flow{level + 1}", nn.Conv2d(channels, FLOW, 3, padding=1, bias=False))
            self.add_module(f"upsample_flow{level}", nn.ConvTranspose2d(FLOW, FLOW, 4, 2, 1, bias=False))
        self.predict_flow = nn.Conv2d(3 * width + FLOW, FLOW, 3, padding=1, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, a=0.1)
        nn.init.normal_(self.predict_flow.weight, std=1e-3)  # a new network begins near no flow

    def prepare(self, pixels: Tensor, images: ImageList) -> Tensor:
        """RGB pictures (B, 3, H, W) in 0 to 255 as the network wants them, smaller; their padding is 0."""
        mean = torch.tensor(MEAN, device=pixels.device)[:, None, None]
        pixels = pixels / 255 - mean
        for picture, (height, width) in zip(pixels, images.sizes, strict=True):
            picture[:, height:] = 0
            picture[:, :, width:] = 0
        size = (int(pixels.shape[-2] * self.image_scale), int(pixels.shape[-1] * self.image_scale))
        return F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)

    def halves(self, pictures: Tensor, *, first: bool) -> Tensor:
        """What prepared pictures (B, 3, H, W) add to the first convolution, as the first or second of a pair."""
        conv: Any = self.conv1[0]  # type: ignore[index]
        part = slice(3) if first else slice(3, 6)
        bias = conv.bias if first else None
        return F.conv2d(pictures, conv.weight[:, part], bias, conv.stride, conv.padding)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The network's output (B, 2, h, w) for prepared pictures (B, 3, H, W), at a quarter of their size."""
        return self.pyramid(self.halves(first, first=True), [self.halves(second, first=False)])[-1]

    def pyramid(self, first: Tensor, second: Sequence[Tensor]) -> list[Tensor]:
        """The output and the coarser ones on the way to it, coarsest first: at 1/64, 1/32, ... 1/4 of the size.

        The finest levels, whose maps are large, go part by part, the others all at once.

        Args:
            first: the first pictures' halves (B, D, H / 2, W / 2); one may stand for all pairs.
            second: the second pictures' halves, B in all, in parts.
        """
        sizes = [len(part) for part in second]
        firsts = [first] * len(sizes) if len(first) == 1 else first.split(sizes)
        fine = [
            self._convolve("conv2", F.leaky_relu(a + b, SLOPE, inplace=True))
            for a, b in zip(firsts, second, strict=True)
        ]
        levels = {3: torch.cat([self._convolve("conv3", x) for x in fine])}
        for level in (4, 5, 6):
            levels[level] = self._convolve(f"conv{level}", levels[level - 1])
        x, flows = levels[6], []
        for level in (5, 4, 3):
            finer, flow = self._refine(level, x, levels[level])
            x = torch.cat(finer, dim=1)
            flows.append(flow)
        before, last = [], []
        for part, skip in zip(x.split(sizes), fine, strict=True):
            finest, flow = self._refine(2, part, skip)
            before.append(flow)
            last.append(thin_conv(self.predict_flow, finest))
        return [*flows, torch.cat(before), torch.cat(last)]

    def _convolve(self, name: str, x: Tensor) -> Tensor:
        for conv in getattr(self, name):
            x = activated(conv, x)
        return x

    def _refine(self, level: int, x: Tensor, skip: Tensor) -> tuple[list[Tensor], Tensor]:
        """From the coarser level's features to this one's, in three parts, and the flow so far."""
        flow = thin_conv(getattr(self, f"predict_flow{level + 1}"), [x])
        finer = getattr(self, f"upsample_flow{level}")(flow)
        up = activated(getattr(self, f"deconv{level}"), x)
        height, width = skip.shape[-2:]
        return [skip, up[..., :height, :width], finer[..., :height, :width]], flow

    def between(self, first: Tensor, second: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Flow in cells of a feature map of `size`, (B, 2, *size), from pictures' halves as in `pyramid`.

        Equal to the flow at the picture's size (by bilinear interpolation), read at the centres of the cells.
        """
        flow = self.pyramid(first, second)[-1].float()
        size = (size[0], size[1])
        coarser = size[0] <= flow.shape[-2]
        resized = F.interpolate(flow, size, mode="area") if coarser else F.interpolate(flow, size, mode="bilinear")
        return resized * (SCALE * size[1] / flow.shape[-1])


def activated(conv: nn.Module, x: Tensor) -> Tensor:
    """The convolution with its leaky ReLU."""
    return F.leaky_relu(conv(x), SLOPE, inplace=True)


def thin_conv(conv: nn.Conv2d, parts: Sequence[Tensor]) -> Tensor:
    """A 3x3 convolution to a few channels: first the products of all taps, then the sum of their shifted maps.

    Reads its input, which has many channels, once instead of nine times, and in parts of the channels as they are.
    A GPU does better without, and so do few channels.
    """
    if conv.in_channels < THIN_FROM or parts[0].device.type != "cpu":
        return conv(torch.cat(list(parts), dim=1))  # type: ignore[no-any-return]
    out_channels, _, *size = conv.weight.shape
    taps = size[0] * size[1]
    weights = conv.weight.permute(2, 3, 0, 1).flatten(0, 2)[:, :, None, None]  # (taps O, I, 1, 1)
    pairs = zip(parts, weights.split([x.shape[1] for x in parts], dim=1), strict=True)
    products = functools.reduce(torch.add, [F.conv2d(x, weight) for x, weight in pairs])
    sums = torch.eye(out_channels, device=products.device).repeat(1, taps)  # (O, taps O)
    shifts = torch.eye(taps, device=products.device).repeat_interleave(out_channels, 0).view(-1, *size)
    kernel = (sums[:, :, None, None] * shifts).to(weights.dtype)
    return F.conv2d(products, kernel, padding=size[0] // 2)
