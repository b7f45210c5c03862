"""Reading videos from anywhere, writing videos, result and submission files."""

from .errors import ResultError, VideoError, VideoWarning
from .files import FileFrames
from .images import ImageFrames, list_images, read_image
from .live import LiveFrames, Reconnect
from .motchallenge import AnnotatedFrames, SequenceInfo, read_seqinfo
from .open import open_path, open_record, open_sequence, open_source
from .prefetch import prefetch
from .results import MotTable, ResultWarning, read_mot
from .video import Video

__all__ = [
    "AnnotatedFrames",
    "FileFrames",
    "ImageFrames",
    "LiveFrames",
    "MotTable",
    "Reconnect",
    "ResultError",
    "ResultWarning",
    "SequenceInfo",
    "Video",
    "VideoError",
    "VideoWarning",
    "list_images",
    "open_path",
    "open_record",
    "open_sequence",
    "open_source",
    "prefetch",
    "read_image",
    "read_mot",
    "read_seqinfo",
]
