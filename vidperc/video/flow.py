"""FlowNet-S: optical flow of two pictures (Dosovitskiy et al. 2015, https://arxiv.org/abs/1504.06852).

As the published video detectors use it: on pictures of half size, coarse to fine.
"""

from __future__ import annotations

from collections.abc import Sequence

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
FLOW = 2  # channels of a flow, which joins the features from level 4 on


class FlowNetS(nn.Module):
    """Flow from the first picture of a pair to the second.

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

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The network's output (B, 2, h, w) for prepared pictures (B, 3, H, W), at a quarter of their size."""
        return self.pyramid(first, second)[-1]

    def pyramid(self, first: Tensor, second: Tensor) -> list[Tensor]:
        """The output and the coarser ones on the way to it, coarsest first: at 1/64, 1/32, ... 1/4 of the size."""
        flows: list[Tensor] = []
        levels: dict[int, Tensor] = {}
        x = torch.cat((first, second), dim=1)
        for level, name in enumerate(CONVS, start=1):
            for conv in getattr(self, name):
                x = F.leaky_relu(conv(x), 0.1)
            levels[level] = x
        for level in REFINE:
            skip = levels[level]
            flows.append(getattr(self, f"predict_flow{level + 1}")(x))
            flow = getattr(self, f"upsample_flow{level}")(flows[-1])
            up = F.leaky_relu(getattr(self, f"deconv{level}")(x), 0.1)
            height, width = skip.shape[-2:]
            x = torch.cat((skip, up[..., :height, :width], flow[..., :height, :width]), dim=1)
        return [*flows, self.predict_flow(x)]

    def between(self, first: Tensor, second: Tensor, size: Sequence[int]) -> Tensor:
        """Flow from `first` to `second`, prepared pictures, in cells of a feature map of `size`: (B, 2, *size).

        Equal to the flow at the picture's size (by bilinear interpolation), read at the centres of the cells.
        """
        flow = self(first, second).float()
        size = (size[0], size[1])
        coarser = size[0] <= flow.shape[-2]
        resized = F.interpolate(flow, size, mode="area") if coarser else F.interpolate(flow, size, mode="bilinear")
        return resized * (SCALE * size[1] / flow.shape[-1])
