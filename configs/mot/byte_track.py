"""ByteTrack (https://arxiv.org/abs/2110.06864): on given detections with the paper's numbers, and as MMTracking
publishes it, with YOLOX."""

import fiddle as fdl

from vidperc.video.byte_track import ByteTrack, EagerByteTrack
from vidperc.video.overlap_byte_track import EagerOverlapByteTrack, OverlapByteTrack

from ..common.trackers import of_any_aspect, published_tracking, tracking_given_people
from ..det import yolox_mot


def bytetrack_mot17() -> fdl.Config:
    return tracking_given_people(fdl.Config(ByteTrack, high=0.6, low=0.1, start=0.7, match=0.9, max_age=30))


def bytetrack_mot15() -> fdl.Config:
    """No settings of its own are published."""
    return bytetrack_mot17()


def bytetrack_mot16() -> fdl.Config:
    """The same pictures as MOT17's."""
    return bytetrack_mot17()


def bytetrack_mot20() -> fdl.Config:
    """Crowds: overlaps are not weighted by scores, and more overlap is asked for."""
    tracker = fdl.Config(OverlapByteTrack, high=0.6, low=0.1, start=0.7, match=0.7, max_age=30)
    return tracking_given_people(tracker)


def bytetrack_dancetrack() -> fdl.Config:
    return of_any_aspect(bytetrack_mot17())


def bytetrack_yolox_x_crowdhuman_mot17_private_half() -> fdl.Config:
    """Half of MOT17 and CrowdHuman learn, the other half is tracked."""
    return published_tracking(yolox_mot.yolox_x_crowdhuman_mot17_half(), _eager())


def bytetrack_yolox_x_crowdhuman_mot17_private() -> fdl.Config:
    return published_tracking(yolox_mot.yolox_x_crowdhuman_mot17(), _eager())


def bytetrack_yolox_x_crowdhuman_mot20_private() -> fdl.Config:
    tracker = fdl.Config(EagerOverlapByteTrack, match=0.7, high=0.6, low=0.1, start=0.7, confirm=3, max_age=29)
    return published_tracking(yolox_mot.yolox_x_crowdhuman_mot20(), tracker)


def _eager() -> fdl.Config:
    return fdl.Config(
        EagerByteTrack, high=0.6, low=0.1, start=0.7, match=0.9, match_low=0.5, match_tentative=0.7, confirm=3,
        max_age=29,
    )  # fmt: skip
