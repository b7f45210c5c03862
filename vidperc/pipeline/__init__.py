"""A video in, tracks or detections out: what `vidperc.track`, `vidperc.pipeline.detect` and the demos call."""

from .detecting import DetectResult, detect
from .trackers import make_tracker
from .tracking import TrackResult, track

__all__ = ["DetectResult", "TrackResult", "detect", "make_tracker", "track"]
