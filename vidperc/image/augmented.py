"""Test-time augmentation: a detector on scaled and mirrored pictures, its findings merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from ..sequence import SequenceModel
from ..structures import Frame, Instances
from .detector import Detector
from .postprocess import class_nms
from .preprocess import Image, Preprocessor, as_rgb_array


class AugmentedDetector(SequenceModel):
    """Any detector, asked at several scales and mirrored; what it finds is merged class by class.

    Args:
        detector: the detector.
        scales: test scales, as `Preprocessor.test_scale`; the detector's own where None.
        flip: ask about the mirrored picture too.
        iou_threshold: overlap above which two findings of a class are one.
        max_detections: the best are kept.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        scales: Sequence[tuple[int, int] | None] = (None,),
        flip: bool = True,
        iou_threshold: float = 0.5,
        max_detections: int = 100,
    ) -> None:
        super().__init__()
        self.detector, self.scales, self.flip = detector, tuple(scales), flip
        self.iou_threshold, self.max_detections = iou_threshold, max_detections

    def predict(self, images: Sequence[Image]) -> list[Instances]:
        """The objects of RGB pictures in their own pixels; as `Detector.predict`."""
        arrays = [as_rgb_array(image, f"image {i}") for i, image in enumerate(images)]
        with self.inference():
            return [self._merge(list(self._views(array))) for array in arrays]

    def _views(self, array: np.ndarray) -> Iterator[Instances]:
        """What is found in each view of one picture, in its own pixels."""
        own = self.detector.preprocessor
        for scale in self.scales:
            preprocessor = own if scale is None else own.with_scale(scale)
            yield self._ask(array, preprocessor)
            if self.flip:
                yield mirrored(self._ask(array[:, ::-1], preprocessor), array.shape[1])

    def _ask(self, array: np.ndarray, preprocessor: Preprocessor) -> Instances:
        batch = preprocessor([array], self.device)
        return self.detector.detect(self.detector.extract_features(batch), batch)[0]

    def step(self, frame: Frame, state: Any = None) -> Instances:
        return self.predict([frame.image])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[Any]) -> list[Instances | None]:
        return list(self.predict([frame.image for frame in frames]))

    def _merge(self, views: list[Instances]) -> Instances:
        found = Instances.cat(views)
        if found.scores is None or found.labels is None:
            raise ValueError("test-time augmentation merges detections with scores and labels")
        keep = class_nms(found.boxes, found.scores, found.labels, self.iou_threshold)
        return found[keep[: self.max_detections]]


def mirrored(instances: Instances, width: int) -> Instances:
    """Objects of a mirrored picture of `width` in the picture itself."""
    x1, y1, x2, y2 = instances.boxes.unbind(1)
    masks = None if instances.masks is None else instances.masks.flip(-1)
    return instances.replace(boxes=torch.stack((width - x2, y1, width - x1, y2), dim=1), masks=masks)
