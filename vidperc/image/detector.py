"""Detector: a sequence model without memory, with the seams by which the video methods enter."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..sequence import SequenceModel
from ..structures import Clip, Frame, ImageList, Instances
from .preprocess import Image, Preprocessor, as_rgb_array


class Detector(SequenceModel):
    """Backbone, neck and what a subclass puts after them.

    `predict` is for people: pictures in, objects out. `extract_features` and `detect` are its two halves.
    Boxes that `detect` gives are in pixels of the original pictures; targets of `loss` are in
    pixels of the batch.
    """

    def __init__(self, *, preprocessor: Preprocessor, backbone: nn.Module, neck: nn.Module | None = None) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.backbone = backbone
        self.neck = neck

    def extract_features(self, images: ImageList) -> list[Tensor]:
        """The feature maps of a batch, finest first."""
        features = self.backbone(images.tensor)
        return features if self.neck is None else self.neck(features)

    @abstractmethod
    def detect(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        """The objects of each image, from its features, in pixels of the original picture."""

    @abstractmethod
    def loss(self, features: list[Tensor], images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        """Training losses by name."""

    def predict(self, images: Sequence[Image]) -> list[Instances]:
        """The objects of RGB pictures, uint8 arrays (H, W, 3) or tensors (3, H, W), in their own pixels.

        Each picture gives what it gives alone: networks see padding, so only pictures that need the same
        share a batch.
        """
        arrays = [as_rgb_array(image, f"image {i}") for i, image in enumerate(images)]
        rows_by_size: dict[tuple[int, int], list[int]] = {}
        for row, array in enumerate(arrays):
            rows_by_size.setdefault(self.preprocessor.padded_size(*array.shape[:2]), []).append(row)
        found: dict[int, Instances] = {}
        with self.inference():
            for rows in rows_by_size.values():
                batch = self.preprocessor([arrays[row] for row in rows], self.device)
                found.update(zip(rows, self.detect(self.extract_features(batch), batch)))
        return [found[row] for row in range(len(arrays))]

    def step(self, frame: Frame, state: Any = None) -> Instances:
        return self.predict([frame.image])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[Any]) -> list[Instances | None]:
        return list(self.predict([frame.image for frame in frames]))

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        images, targets = self.training_batch(clips)
        return self.loss(self.extract_features(images), images, targets)

    def training_batch(self, clips: list[Clip]) -> tuple[ImageList, list[Instances]]:
        """The key frames of clips as a batch, and their ground truth in its pixels."""
        frames = [clip[clip.key] for clip in clips]
        images = self.preprocessor.batch([frame.array for frame in frames], self.device)
        return images, [require_instances(frame).to(self.device) for frame in frames]


class TwoStageDetector(Detector):
    """A detector that first proposes regions. Proposals are in pixels of the batch."""

    @abstractmethod
    def propose(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        """Class-agnostic regions of each image."""

    @abstractmethod
    def detect(
        self, features: list[Tensor], images: ImageList, proposals: list[Instances] | None = None
    ) -> list[Instances]:
        """The objects of each image, from given proposals (Tracktor's tracks, Fast R-CNN) or its own."""


def require_instances(frame: Frame) -> Instances:
    """The frame's ground truth.

    Raises:
        ValueError: there is none.
    """
    if frame.instances is None:
        raise ValueError(f"frame {frame.index} ({frame.name}) has no ground truth to train on")
    return frame.instances
