"""People in pictures without any download: OpenCV's HOG detector (Dalal and Triggs, CVPR 2005)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torchvision.ops import nms

from ..sequence import SequenceModel
from ..structures import Frame, Instances

PERSON_IN_WINDOW = (0.55, 0.75)  # the detector's 64x128 window holds a person with a margin around
LOGIT_SCALE = 3.0  # turns the SVM's margin into a score; the order is the margin's


class HogPeopleDetector(SequenceModel):
    """Upright people, by a linear SVM on histograms of gradients; needs no weights but OpenCV's.

    Pictures are brought to `working_height` pixels, where it finds people at least 96 pixels tall:
    at 720, those taller than 13 % of the picture. Detection time grows with its square.

    Args:
        working_height: rows of the picture that is searched.
        hit_threshold: least SVM margin.
        nms_threshold: largest IoU of two detections.
        scale_step: factor between the levels of the pyramid.
    """

    def __init__(
        self,
        *,
        working_height: int = 720,
        hit_threshold: float = 0.4,
        nms_threshold: float = 0.3,
        scale_step: float = 1.05,
    ) -> None:
        super().__init__()
        self.working_height = working_height
        self.hit_threshold = hit_threshold
        self.nms_threshold = nms_threshold
        self.scale_step = scale_step
        self.descriptor = cv2.HOGDescriptor()
        self.descriptor.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())  # type: ignore[attr-defined]

    def step(self, frame: Frame, state: Any = None) -> Instances:
        grey = cv2.cvtColor(frame.array, cv2.COLOR_RGB2GRAY)
        factor = self.working_height / grey.shape[0]
        resized = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        if resized.shape[0] < 128 or resized.shape[1] < 64:
            return Instances.empty()
        windows, margins = self.descriptor.detectMultiScale(
            resized, hitThreshold=self.hit_threshold, winStride=(8, 8), padding=(16, 16),
            scale=self.scale_step, groupThreshold=0,
        )  # fmt: skip
        if len(windows) == 0:
            return Instances.empty()
        boxes = torch.from_numpy(people_in_windows(np.asarray(windows), factor))
        scores = torch.from_numpy(np.asarray(margins, np.float32).ravel())
        keep = nms(boxes, scores, self.nms_threshold)
        height, width = frame.size
        boxes = boxes[keep].clamp_(min=0)
        boxes[:, 0::2].clamp_(max=width)
        boxes[:, 1::2].clamp_(max=height)
        scores = torch.sigmoid(LOGIT_SCALE * scores[keep])
        return Instances(boxes=boxes, labels=torch.zeros(len(keep), dtype=torch.int64), scores=scores)


def people_in_windows(windows: np.ndarray, factor: float) -> np.ndarray:
    """Windows (N, 4) x y w h of the resized picture to the people's boxes (N, 4) xyxy of the original."""
    centres = windows[:, :2] + windows[:, 2:] / 2
    sizes = windows[:, 2:] * np.array(PERSON_IN_WINDOW)
    return (np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1) / factor).astype(np.float32)
