"""What can go wrong with videos and result files."""

from __future__ import annotations


class VideoError(ValueError):
    """A video that cannot be opened, read or written; the message names the file and the reason."""


class VideoWarning(UserWarning):
    """Frames that were lost or damaged, with their number; the video went on."""


class ResultError(ValueError):
    """A result, detection or annotation file with a row that cannot be used; names file and line."""
