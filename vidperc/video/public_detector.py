"""Public detections judged by a detector: what benchmarks call the public protocol, with private scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..image.detector import TwoStageDetector
from ..image.two_stage import scale_factors
from ..sequence import SequenceModel
from ..structures import Frame, ImageList, Instances


class PublicDetector(SequenceModel):
    """The second stage of a two-stage detector on `frame.detections` instead of on its own proposals.

    A frame without detections has none.
    """

    def __init__(self, detector: TwoStageDetector) -> None:
        super().__init__()
        self.detector = detector

    def step(self, frame: Frame, state: Any = None) -> Instances:
        return self._judge([frame])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[Any]) -> list[Instances | None]:
        return list(self._judge(frames))

    def _judge(self, frames: Sequence[Frame]) -> list[Instances]:
        images = self.detector.preprocessor([frame.image for frame in frames], self.device)
        return judge(self.detector, self.detector.extract_features(images), images, frames)


def judge(
    detector: TwoStageDetector, features: list[Tensor], images: ImageList, frames: Sequence[Frame]
) -> list[Instances]:
    """The objects that the detector's second stage finds in the given detections of each frame."""
    device = features[0].device
    given = [(frame.detections or Instances.empty()).boxes.to(device) for frame in frames]
    scaled = [boxes * scale for boxes, scale in zip(given, scale_factors(images, device))]
    return detector.detect(features, images, [Instances(boxes=boxes) for boxes in scaled])
