"""Transforms of training clips: parameters are drawn once per clip and applied to every frame, boxes and masks."""

from .base import FrameTransform, MoreClips, OneOf, Transform, apply_all
from .colour import PhotometricDistortion
from .crop import Expand, MinIoUCrop, RandomCrop
from .mix import CopyPaste, MixUp, Mosaic
from .resize import Flip, LargeScaleJitter, Resize, ResizeRange
from .still import PseudoVideo

__all__ = [
    "CopyPaste",
    "Expand",
    "Flip",
    "FrameTransform",
    "LargeScaleJitter",
    "MinIoUCrop",
    "MixUp",
    "MoreClips",
    "Mosaic",
    "OneOf",
    "PhotometricDistortion",
    "PseudoVideo",
    "RandomCrop",
    "Resize",
    "ResizeRange",
    "Transform",
    "apply_all",
]
