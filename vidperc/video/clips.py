"""What the video detectors share: frames in batches of one size, clips as batches."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from ..image.detector import Detector, require_instances
from ..structures import Clip, Frame, ImageList, Instances


def rows_by_size(frames: Sequence[Frame]) -> list[list[int]]:
    """The rows of the frames, grouped by picture size, so that batching does not change their padding."""
    groups: dict[tuple[int, int], list[int]] = {}
    for row, frame in enumerate(frames):
        groups.setdefault(frame.size, []).append(row)
    return list(groups.values())


@dataclass
class SizeWatch:
    """Notices pictures of a video that change their size, and warns of the first."""

    size: tuple[int, int] | None = None  # of the picture before
    warned: bool = False

    def changed(self, frame: Frame, what: str) -> bool:
        """Whether the frame's size is not that of the one before; `what` says what happens then."""
        before, self.size = self.size, frame.size
        if before is None or before == frame.size:
            return False
        if not self.warned:
            self.warned = True
            old, new = f"{before[1]}x{before[0]}", f"{frame.size[1]}x{frame.size[0]}"
            warnings.warn(f"frame {frame.index}: the picture changes from {old} to {new}; {what}", stacklevel=3)
        return True


def training_batch(detector: Detector, clips: Sequence[Clip]) -> tuple[ImageList, list[int], list[Instances]]:
    """All frames of the clips as one batch, the row of each clip's key frame, and the keys' targets."""
    frames = [frame for clip in clips for frame in clip.frames]
    images = detector.preprocessor.batch([frame.array for frame in frames], detector.device)
    keys, start = [], 0
    for clip in clips:
        keys.append(start + clip.key)
        start += len(clip)
    targets = [require_instances(frames[key]).to(detector.device) for key in keys]
    return images, keys, targets
