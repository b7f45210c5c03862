"""Detectors that are defined with a second look, at the mirrored picture."""

from __future__ import annotations

from torch import Tensor

from ..structures import ImageList, Instances
from .augmented import mirrored
from .single_stage import SingleStageDetector


class MirroredDetector(SingleStageDetector):
    """What is found in a picture and in its mirror image, suppressed together.

    The features given to `detect` are those of the picture; it looks at the mirror image itself. The head
    has `candidates(features, images)`, in pixels of the resized pictures, and `decide(candidates, images)`.
    """

    def detect(self, features: list[Tensor], images: ImageList) -> list[Instances]:
        mirror = ImageList(images.tensor.flip(-1), images.sizes, images.original_sizes, images.scales)
        seen = self.head.candidates(features, images)  # type: ignore[operator]
        other = self.head.candidates(self.extract_features(mirror), mirror)  # type: ignore[operator]
        both = [Instances.cat([one, mirrored(two, width)]) for one, two, (_, width) in zip(seen, other, images.sizes)]
        found: list[Instances] = self.head.decide(both, images)  # type: ignore[operator]
        return found
