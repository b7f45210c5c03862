"""Assigners: which target each prior learns.

An assigner is called with `(priors, targets, predictions=None)` and gives `(A,)` int64: the index of the
target, `BACKGROUND` or `IGNORED`. Rows of `targets` whose `ignored` is true are never assigned.
"""

from .atss import ATSSAssigner
from .common import BACKGROUND, IGNORED, Assigner
from .max_iou import ApproxMaxIoUAssigner, MaxIoUAssigner
from .nearest_point import NearestPointAssigner
from .point_range import PointRangeAssigner

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "ATSSAssigner",
    "ApproxMaxIoUAssigner",
    "Assigner",
    "MaxIoUAssigner",
    "NearestPointAssigner",
    "PointRangeAssigner",
]
