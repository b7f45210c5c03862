"""DFF: Deep Feature Flow (Zhu et al. 2017, https://arxiv.org/abs/1611.07715).

Key frames go through the backbone; the frames between take the key frame's features, moved by the flow.
As the published checkpoints: no scale map, whose network they do not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..image.detector import Detector
from ..ops.warp import warp
from ..sequence import SequenceModel
from ..structures import Clip, Frame, ImageList, Instances, Video
from .clips import SizeWatch, rows_by_size, training_batch
from .flow import FlowNetS


@dataclass
class DFFState:
    """The key frame last seen: its features, its half of each flow, and its age in frames."""

    features: list[Tensor] | None = None  # (1, D, H, W) each
    half: Tensor | None = None  # (1, D, h, w), its half of the flow network's first convolution
    age: int = 0
    sizes: SizeWatch = field(default_factory=SizeWatch)


class DFF(SequenceModel):
    """A detector whose features are computed on every `key_interval`-th frame and moved to the others.

    A picture of another size is a new key frame.
    """

    def __init__(self, *, detector: Detector, flow: FlowNetS, key_interval: int = 10) -> None:
        super().__init__()
        if key_interval < 1:
            raise ValueError(f"DFF: key_interval must be at least 1, got {key_interval}")
        self.detector, self.flow, self.key_interval = detector, flow, key_interval

    def init_state(self, video: Video | None = None) -> DFFState:
        return DFFState()

    def step(self, frame: Frame, state: DFFState) -> Instances:
        return self.step_batch([frame], [state])[0]  # type: ignore[return-value]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[DFFState]) -> list[Instances | None]:
        results: list[Instances | None] = [None] * len(frames)
        for rows in rows_by_size(frames):
            found = self._step_same_size([frames[row] for row in rows], [states[row] for row in rows])
            for row, instances in zip(rows, found, strict=True):
                results[row] = instances
        return results

    def _step_same_size(self, frames: list[Frame], states: list[DFFState]) -> list[Instances]:
        images = self.detector.preprocessor([frame.image for frame in frames], self.device)
        pictures = self.flow.prepare(self.detector.preprocessor.pixels(images), images)
        keys = [
            row for row, (frame, state) in enumerate(zip(frames, states, strict=True)) if self._is_key(frame, state)
        ]
        others = [row for row in range(len(frames)) if row not in keys]
        if keys:
            self._renew([states[k] for k in keys], images.take(keys), pictures[keys])
        features: list[list[Tensor]] = [state.features or [] for state in states]
        if others:
            moved = self._move([states[row] for row in others], pictures[others])
            for place, row in enumerate(others):
                features[row] = [level[place : place + 1] for level in moved]
        batch = [torch.cat(level) for level in zip(*features, strict=True)]
        for state in states:
            state.age += 1
        return self.detector.detect(batch, images)

    def _is_key(self, frame: Frame, state: DFFState) -> bool:
        resized = state.sizes.changed(frame, "it is a new key frame")
        return resized or state.features is None or state.age >= self.key_interval

    def _renew(self, states: list[DFFState], images: ImageList, pictures: Tensor) -> None:
        """The frames become the key frames of their states."""
        features = self.detector.extract_features(images)
        halves = self.flow.halves(pictures, first=False)
        for row, state in enumerate(states):
            state.features = [level[row : row + 1] for level in features]
            state.half, state.age = halves[row : row + 1], 0

    def _move(self, states: list[DFFState], pictures: Tensor) -> list[Tensor]:
        """The states' key features, moved to the pictures."""
        keys = torch.cat([state.half for state in states])  # type: ignore[misc]
        stored = [torch.cat(level) for level in zip(*(state.features or [] for state in states), strict=True)]
        first, second = self.flow.halves(pictures, first=True), keys
        return [warp(level, self.flow.between(first, [second], level.shape[-2:])) for level in stored]

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """Losses on each clip's key frame with the features of its one other frame, moved (section 3.3).

        Raises:
            ValueError: a clip that is not of two frames.
        """
        for clip in clips:
            if len(clip) != 2:
                raise ValueError(f"DFF trains on a frame and one before it, clip '{clip.video}' has {len(clip)} frames")
        images, rows, targets = training_batch(self.detector, clips)
        references = [2 * number + 1 - clip.key for number, clip in enumerate(clips)]
        pictures = self.flow.prepare(self.detector.preprocessor.pixels(images), images)
        stored = self.detector.extract_features(images.take(references))
        first = self.flow.halves(pictures[rows], first=True)
        second = self.flow.halves(pictures[references], first=False)
        features = [warp(level, self.flow.between(first, [second], level.shape[-2:])) for level in stored]
        return self.detector.loss(features, images.take(rows), targets)
