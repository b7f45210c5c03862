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
    return [record_of(video) for video in videos_of_split(split, count, length, size, flavour, **changes)]


def videos_of_split(
    split: Split,
    count: int,
    length: int,
    size: tuple[int, int],
    flavour: Flavour | SceneOptions,
    **changes: object,
) -> list[SyntheticVideo]:
    """The videos of `synthetic_videos` themselves, whose flow can be asked for."""
    if split not in FIRST_SEED:
        raise ValueError(f"synthetic split '{split}': expected one of {', '.join(FIRST_SEED)}")
    if not 0 < count < 1_000_000:
        raise ValueError(f"synthetic videos: expected a count from 1 to 999999, got {count}")
    first = FIRST_SEED[split]
    return [
        SyntheticVideo(first + number, length, size, flavour, f"{split}-{number:06d}", **changes)
        for number in range(count)
    ]


def record_of(video: SyntheticVideo) -> VideoRecord:
    """A video as data sets take it."""
    return VideoRecord(
        name=video.name, source=f"synthetic:{video.seed}", length=video.length, size=video.size, fps=FPS,
        classes=CLASSES, load=video.read,
    )  # fmt: skip
