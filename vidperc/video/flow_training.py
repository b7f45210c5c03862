"""Teaching a FlowNet-S the true flow before a video detector uses it, as the papers do on FlyingChairs.

Dosovitskiy et al. 2015, https://arxiv.org/abs/1504.06852, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.detector import Detector
from ..structures import Clip
from .dff import DFF
from .flow import SCALE, FlowNetS


class FlowDFF(DFF):
    """DFF whose flow network alone learns, from the true flow between all frames of a clip.

    At inference it is DFF, so validation tells how well a trained detector does on features that the flow moved.
    """

    def __init__(self, *, detector: Detector, flow: FlowNetS, key_interval: int = 10) -> None:
        super().__init__(detector=detector.requires_grad_(False), flow=flow, key_interval=key_interval)

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """The mean distance from the true flow in cells of its map, at each of the network's resolutions.

        Raises:
            ValueError: a clip without flows.
        """
        frames = [frame for clip in clips for frame in clip.frames]
        images = self.detector.preprocessor.batch([frame.array for frame in frames], self.device)
        pictures = self.flow.prepare(self.detector.preprocessor.pixels(images), images)
        first, second, truths, start = [], [], [], 0
        for clip in clips:
            flows = getattr(clip, "flows", None)
            if flows is None:
                raise ValueError(f"clip '{clip.video}' comes without the true flow between its frames")
            pairs = (~torch.eye(len(clip), dtype=torch.bool)).nonzero()  # (T * (T - 1), 2)
            first.append(pairs[:, 0] + start)
            second.append(pairs[:, 1] + start)
            truths.append(flows[pairs[:, 0], pairs[:, 1]].to(self.device))
            start += len(clip)
        truth = warp_flow(torch.cat(truths), images.tensor.shape[-2:])
        outputs = self.flow.pyramid(
            self.flow.halves(pictures, first=True)[torch.cat(first)],
            [self.flow.halves(pictures, first=False)[torch.cat(second)]],
        )
        scale = SCALE * truth.shape[-1] / outputs[-1].shape[-1]  # to cells, as in `FlowNetS.between`
        return {
            f"loss_flow_{len(outputs) + 1 - number}": distance(flow * scale, truth)
            for number, flow in enumerate(outputs)
        }


def warp_flow(flow: Tensor, size: Sequence[int]) -> Tensor:
    """Flow in pixels (B, 2, h, w) as `warp` has to be told it: in cells, for positions read at p (W - 1) / W.

    Args:
        size: (H, W) of the picture in pixels.
    """
    height, width = flow.shape[-2:]
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)[:, None]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    stretch = [width / max(width - 1, 1), height / max(height - 1, 1)]
    cells = [flow[:, 0] * (width / size[1]), flow[:, 1] * (height / size[0])]
    return torch.stack([(x + cells[0]) * stretch[0] - x, (y + cells[1]) * stretch[1] - y], dim=1)


def distance(flow: Tensor, truth: Tensor) -> Tensor:
    """Mean length of the difference between flows (B, 2, h, w), the first one brought to the size of the second."""
    flow = F.interpolate(flow.float(), truth.shape[-2:], mode="bilinear")
    return (flow - truth).square().sum(1).add(1e-6).sqrt().mean()  # the 1e-6 gives the root a slope at 0
