"""Video: frames in order, from anything that has some."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import numpy as np
from torch import Tensor

from .. import structures
from ..structures import ArrayFrames, Instances
from .live import Reconnect
from .open import PATIENCE, Source, Take, open_source


class Video(structures.Video):
    """A video from a file, folder, glob, MOTChallenge sequence, image, arrays, iterator, camera or stream.

    Args:
        source: a path to a video file, an image, a folder of images (in the natural order of their
            names) or a MOTChallenge sequence (with its truth and detections attached); a glob of
            images; a list of image paths; an array (T, H, W, 3) or (H, W, 3), or a sequence of (H, W, 3)
            arrays, uint8 RGB; an iterator of such arrays or of frames; a camera's number; an rtsp:// or
            http:// URL; a `VideoRecord`; or any `FrameSource`.
        prompt: what a single-object tracker is to follow: box xyxy, boxes (N, 4), or Instances.
        name: of the video in results; by default from the source.
        fps: of sources that do not say: images, arrays, iterators.
        take: "every" frame of a live source in turn, or always the "latest", dropping what came while
            the consumer was busy.
        prefetch: frames decoded ahead in the background; 0 decodes in the caller's thread.
        same_size: whether images of another size than the first are an error.
        reconnect: how a network stream that breaks is opened again.

    Raises:
        FileNotFoundError, VideoError, ValueError, TypeError: as `open_source`.
    """

    def __init__(
        self,
        source: Source,
        *,
        prompt: Instances | Sequence[float] | Tensor | None = None,
        name: str | None = None,
        fps: float | None = None,
        take: Take = "every",
        prefetch: int = 8,
        same_size: bool = True,
        reconnect: Reconnect = PATIENCE,
    ) -> None:
        opened = open_source(
            source, name=name, fps=fps, take=take, prefetch=prefetch, same_size=same_size, reconnect=reconnect
        )
        super().__init__(opened, prompt=prompt)

    @classmethod
    def from_frames(
        cls,
        frames: Sequence[np.ndarray] | np.ndarray,
        fps: float | None = None,
        prompt: Instances | Sequence[float] | Tensor | None = None,
        name: str = "array",
    ) -> Video:
        return cls(ArrayFrames(frames, fps, name), prompt=prompt)

    def close(self) -> None:
        """Let go of the files, cameras and threads held. Iterations under way end by themselves."""
        close = getattr(self.source, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
