"""ByteTrack (https://arxiv.org/abs/2110.06864) on detections that are given; numbers of its MOT17 and MOT20 models."""

import fiddle as fdl

from vidperc.video.byte_track import ByteTrack
from vidperc.video.track_region import Shapes

from ..common.trackers import tracking_given_detections


def bytetrack_mot17() -> fdl.Config:
    config = tracking_given_detections(fdl.Config(ByteTrack, high=0.6, low=0.1, start=0.7, match=0.9, max_age=30))
    config.model.shapes = fdl.Config(Shapes, min_area=100.0, max_aspect=1.6)
    return config
