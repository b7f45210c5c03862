"""From scored boxes to detections: non-maximum suppression within classes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import nms

from ..structures import Instances

# Boxes of all classes in one call: a CPU compares all pairs, a GPU's matrix of them overflows at some hundred thousand.
TOGETHER_CPU, TOGETHER_GPU = 400, 20_000


def class_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that survive suppression by better ones of their class, best first.

    Exact: boxes are compared as they are, not shifted apart by class in single precision.

    Args:
        boxes: (N, 4); scores: (N,); labels: (N,) int64.
    """
    if len(boxes) == 0:
        return labels
    if len(boxes) <= (TOGETHER_CPU if boxes.device.type == "cpu" else TOGETHER_GPU):
        # One call for all classes; in double precision the shift costs no accuracy.
        shift = labels.double() * (boxes.max() - boxes.min() + 1).double()
        return nms(boxes.double() + shift[:, None], scores.double(), iou_threshold)
    order = labels.argsort(stable=True)
    groups = order.split(torch.unique_consecutive(labels[order], return_counts=True)[1].tolist())
    keep = torch.cat([group[nms(boxes[group], scores[group], iou_threshold)] for group in groups])
    return keep[scores[keep].argsort(descending=True, stable=True)]


def multiclass_nms(
    boxes: Tensor,
    scores: Tensor,
    *,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int = -1,
    factors: Tensor | None = None,
) -> Instances:
    """The detections among boxes that have a score for every class.

    Args:
        boxes: (N, 4), or (N, C * 4) with a box for every class.
        scores: (N, C), without background.
        score_threshold: only scores above it take part, before `factors`.
        iou_threshold: overlap above which the worse of two boxes of a class is dropped.
        max_detections: the best are kept; -1 keeps all.
        factors: (N,) multiplied with the scores after the threshold (centerness, IoU).

    Returns:
        Instances with boxes, labels and scores, best first.
    """
    return multiclass_nms_rows(
        boxes,
        scores,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        max_detections=max_detections,
        factors=factors,
    )[0]


def multiclass_nms_rows(
    boxes: Tensor,
    scores: Tensor,
    *,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int = -1,
    factors: Tensor | None = None,
) -> tuple[Instances, Tensor]:
    """As `multiclass_nms`, with the row (K,) of the input each detection came from."""
    rows, labels = (scores > score_threshold).nonzero(as_tuple=True)
    kept = scores[rows, labels]
    if factors is not None:
        kept = kept * factors[rows]
    picked = boxes.view(len(boxes), boxes.shape[1] // 4, 4)
    picked = picked[rows, labels] if picked.shape[1] > 1 else picked[rows, 0]
    keep = class_nms(picked, kept, labels, iou_threshold)
    if max_detections >= 0:
        keep = keep[:max_detections]
    return Instances(boxes=picked[keep], labels=labels[keep], scores=kept[keep]), rows[keep]
