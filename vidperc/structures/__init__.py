"""The data that flow through the library. Imports nothing else of vidperc."""

from .images import ImageList
from .instances import Instances, TrackState
from .video import UNKNOWN_CLASS, ArrayFrames, Clip, Frame, FrameSource, Video, VideoRecord

__all__ = [
    "UNKNOWN_CLASS",
    "ArrayFrames",
    "Clip",
    "Frame",
    "FrameSource",
    "ImageList",
    "Instances",
    "TrackState",
    "Video",
    "VideoRecord",
]
