"""Detectors that decide at once: backbone, neck and one head."""

from __future__ import annotations

from torch import Tensor, nn

from ..structures import ImageList, Instances
from .detector import Detector
from .preprocess import Preprocessor


class SingleStageDetector(Detector):
    """A detector whose head turns feature maps into objects, as `DenseHead` does.

    Args:
        head: has `detect(features, images)` and `loss(features, images, targets)`.
    """

    def __init__(
        self, *, preprocessor: Preprocessor, backbone: nn.Module, neck: nn.Module | None = None, head: nn.Module
    ) -> None:
        super().__init__(preprocessor=preprocessor, backbone=backbone, neck=neck)
        self.head = head

    def detect(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        found: list[Instances] = self.head.detect(features, images)  # type: ignore[operator]
        return found

    def loss(self, features: list[Tensor], images: ImageList, targets: list[Instances]) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = self.head.loss(features, images, targets)  # type: ignore[operator]
        return losses
