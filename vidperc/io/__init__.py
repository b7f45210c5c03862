"""Reading videos from anywhere, writing videos, result and submission files."""

from .detections import read_coco_detections, read_detections, with_detections
from .errors import ResultError, VideoError, VideoWarning
from .files import FileFrames
from .images import ImageFrames, list_images, read_image
from .live import LiveFrames, Reconnect
from .motchallenge import AnnotatedFrames, SequenceInfo, read_seqinfo
from .open import open_path, open_record, open_sequence, open_source
from .prefetch import prefetch
from .result_writers import JsonWriter, MotWriter
from .results import MotTable, ResultWarning, read_mot
from .video import Video
from .writers import ImageWriter, VideoWriter

__all__ = [
    "AnnotatedFrames",
    "FileFrames",
    "ImageFrames",
    "ImageWriter",
    "JsonWriter",
    "LiveFrames",
    "MotTable",
    "MotWriter",
    "Reconnect",
    "ResultError",
    "ResultWarning",
    "SequenceInfo",
    "Video",
    "VideoError",
    "VideoWarning",
    "VideoWriter",
    "list_images",
    "open_path",
    "open_record",
    "open_sequence",
    "open_source",
    "prefetch",
    "read_coco_detections",
    "read_detections",
    "read_image",
    "read_mot",
    "read_seqinfo",
    "with_detections",
]
