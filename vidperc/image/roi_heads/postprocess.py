"""From the second stage's outputs to detections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ...structures import ImageList, Instances
from ..box_coders import DeltaCoder
from ..postprocess import multiclass_nms
from .box_head import BoxOutputs


@dataclass(frozen=True)
class BoxPostprocessor:
    """Scores by softmax, boxes in pixels of the original pictures, suppression within classes."""

    score_threshold: float = 0.05
    iou_threshold: float = 0.5
    max_detections: int = 100

    def __call__(
        self, outputs: BoxOutputs, boxes: Sequence[Tensor], images: ImageList, coder: DeltaCoder
    ) -> list[Instances]:
        """The detections of each image, whose regions (P_b, 4) gave the outputs in order."""
        counts = [len(part) for part in boxes]
        scores = outputs.logits.softmax(-1)[:, :-1].split(counts)  # (P_b, C)
        codes = outputs.codes.split(counts)
        return [
            multiclass_nms(
                self.decode(boxes[i], codes[i], images, i, coder),
                scores[i],
                score_threshold=self.score_threshold,
                iou_threshold=self.iou_threshold,
                max_detections=self.max_detections,
            )
            for i in range(len(images))
        ]

    @staticmethod
    def decode(boxes: Tensor, codes: Tensor, images: ImageList, image: int, coder: DeltaCoder) -> Tensor:
        """Boxes of codes (P, C * 4) in their shape, in pixels of the original picture."""
        decoded = coder.decode(boxes, codes, images.sizes[image])
        scale = decoded.new_tensor(images.scales[image])
        return (decoded.unflatten(-1, (-1, 2)) / scale).flatten(-2)
