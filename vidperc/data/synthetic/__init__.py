"""Synthetic videos with exact truth for every task, for learning, testing and showing without any download."""

from .scene import FLAVOURS, BoxKind, Flavour, SceneOptions, scene_options
from .splits import FIRST_SEED, Split, synthetic_videos
from .sprites import CLASSES
from .video import SyntheticVideo

__all__ = [
    "CLASSES",
    "FIRST_SEED",
    "FLAVOURS",
    "BoxKind",
    "Flavour",
    "SceneOptions",
    "Split",
    "SyntheticVideo",
    "scene_options",
    "synthetic_videos",
]
