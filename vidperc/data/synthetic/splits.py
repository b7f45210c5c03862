"""Training, validation and test videos: seeds far apart, so that none is in two of them."""

from __future__ import annotations

from typing import Literal

from ...structures import VideoRecord
from .scene import Flavour, SceneOptions
from .sprites import CLASSES
from .video import FPS, SyntheticVideo

Split = Literal["train", "val", "test"]
FIRST_SEED: dict[str, int] = {"train": 0, "val": 1_000_000, "test": 2_000_000}


def synthetic_videos(
    split: Split = "test",
    count: int = 8,
    length: int = 60,
    size: tuple[int, int] = (160, 256),
    flavour: Flavour | SceneOptions = "det",
    **changes: object,
) -> list[VideoRecord]:
    """Records of `count` synthetic videos; their frames come with their truth when they are read.

    Raises:
        ValueError: an unknown split, or more videos than it has seeds.
    """
    if split not in FIRST_SEED:
        raise ValueError(f"synthetic split '{split}': expected one of {', '.join(FIRST_SEED)}")
    if not 0 < count < 1_000_000:
        raise ValueError(f"synthetic videos: expected a count from 1 to 999999, got {count}")
    return [_record(split, FIRST_SEED[split] + number, length, size, flavour, changes) for number in range(count)]


def _record(
    split: str,
    seed: int,
    length: int,
    size: tuple[int, int],
    flavour: Flavour | SceneOptions,
    changes: dict[str, object],
) -> VideoRecord:
    video = SyntheticVideo(seed, length, size, flavour, f"{split}-{seed - FIRST_SEED[split]:06d}", **changes)
    return VideoRecord(
        name=video.name, source=f"synthetic:{seed}", length=length, size=size, fps=FPS, classes=CLASSES, load=video.read
    )
