"""Transforms of training clips: parameters are drawn once per clip and applied to every frame, boxes and masks."""

from .affine import RandomAffine
from .base import FrameTransform, MoreClips, OneOf, Transform, apply_all
from .colour import HSVJitter, PhotometricDistortion
from .crop import CentreCropPad, DropSmall, Expand, MinIoUCrop, RandomCrop, RandomShift
from .mix import CopyPaste, MixUp, Mosaic
from .resize import Flip, LargeScaleJitter, Resize, ResizeRange
from .still import PseudoVideo

__all__ = [
    "CentreCropPad",
    "CopyPaste",
    "DropSmall",
    "Expand",
    "Flip",
    "FrameTransform",
    "HSVJitter",
    "LargeScaleJitter",
    "MinIoUCrop",
    "MixUp",
    "MoreClips",
    "Mosaic",
    "OneOf",
    "PhotometricDistortion",
    "PseudoVideo",
    "RandomAffine",
    "RandomCrop",
    "RandomShift",
    "Resize",
    "ResizeRange",
    "Transform",
    "apply_all",
]
