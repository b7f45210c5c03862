"""Clips of synthetic videos with the true flow between their frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...structures import Clip
from ..datasets import ClipDataset
from ..frame_samplers import FrameSampler
from .scene import Flavour, SceneOptions
from .splits import record_of, videos_of_split


@dataclass(slots=True)
class FlowClip(Clip):
    """A clip of T frames with the flow from each frame to each: `flows[i, j]` (2, h, w) from frame i to frame j.

    Displacements x, y in pixels; to itself a frame's flow is zero.
    """

    flows: Tensor | None = None  # (T, T, 2, h, w)


class SyntheticFlow(ClipDataset):
    """Clips of the training videos with their flows, on a map of one cell per `stride` pixels.

    Args:
        sampler: the frames of a clip.
        stride: pixels per cell.
        videos, length, size, flavour: as of `synthetic_videos`.
    """

    def __init__(
        self,
        sampler: FrameSampler,
        stride: int = 8,
        *,
        videos: int = 400,
        length: int = 60,
        size: tuple[int, int] = (160, 256),
        flavour: Flavour | SceneOptions = "vid",
    ) -> None:
        self.videos = videos_of_split("train", videos, length, size, flavour)
        super().__init__([record_of(video) for video in self.videos], sampler)
        self.stride = stride

    def raw_clip(self, number: int, rng: np.random.Generator) -> FlowClip:
        clip = super().raw_clip(number, rng)
        video, numbers = self.videos[self.keys[number][0]], [frame.index for frame in clip.frames]
        flows = np.stack([video.flows(index, numbers, self.stride) for index in numbers])
        return FlowClip(clip.frames, clip.key, clip.video, torch.from_numpy(flows))
