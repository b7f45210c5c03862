"""Data sets by the name of their format, to read and to write: what the conversion tool offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..structures import VideoRecord
from .readers.bdd100k import read_bdd100k
from .readers.coco import read_coco
from .readers.davis import read_davis
from .readers.got10k import read_got10k
from .readers.lasot import read_lasot
from .readers.motchallenge import read_crowdhuman, read_dancetrack, read_mot_sequences
from .readers.otb import read_otb
from .readers.pascal import read_imagenet_det, read_imagenet_vid, read_voc
from .readers.trackingnet import read_trackingnet
from .readers.uav123 import read_uav123
from .readers.vot import read_vot
from .readers.youtube_vis import read_youtube_vis
from .synthetic import synthetic_videos
from .writers import FORMATS

SOURCES: dict[str, Callable[..., list[VideoRecord]]] = {
    "synthetic": synthetic_videos,
    "coco": read_coco,
    "voc": read_voc,
    "imagenet_det": read_imagenet_det,
    "imagenet_vid": read_imagenet_vid,
    "motchallenge": read_mot_sequences,
    "dancetrack": read_dancetrack,
    "crowdhuman": read_crowdhuman,
    "bdd100k": read_bdd100k,
    "otb": read_otb,
    "got10k": read_got10k,
    "lasot": read_lasot,
    "trackingnet": read_trackingnet,
    "uav123": read_uav123,
    "vot": read_vot,
    "youtube_vis": read_youtube_vis,
    "davis": read_davis,
}


def read_dataset(form: str, *arguments: Any, **settings: Any) -> list[VideoRecord]:
    """The records of a data set; arguments are those of the format's reader.

    Raises:
        ValueError: an unknown format. Else as the reader.
    """
    if form not in SOURCES:
        raise ValueError(f"format '{form}' cannot be read; there is {', '.join(SOURCES)}")
    return SOURCES[form](*arguments, **settings)


def write_dataset(form: str, records: Sequence[VideoRecord], out: str | Path, **settings: Any) -> Path:
    """Write records in a format. Gives the file or folder a reader is pointed to.

    Raises:
        ValueError: an unknown format. DataError: records that it cannot hold.
    """
    if form not in FORMATS:
        raise ValueError(f"format '{form}' cannot be written; there is {', '.join(FORMATS)}")
    return FORMATS[form](records, out, **settings)
