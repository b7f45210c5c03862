"""Pictures in files: single images, folders, globs and lists of them."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..structures import Frame
from .errors import VideoError, VideoWarning
from .prefetch import parallel_map

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".jp2", ".ppm", ".pgm", ".pnm"}


def read_image(path: str | Path) -> np.ndarray:
    """An image file as (H, W, 3) uint8 RGB: grey is repeated, 16 bit scaled to 8, alpha left out, EXIF turned.

    Raises:
        FileNotFoundError: no such file.
        VideoError: not an image that can be decoded, or cut off.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    # From memory: of a JPEG file that is cut off, `imread` gives a picture that is grey from there on.
    content = Path(path).read_bytes()
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise VideoError(f"{path}: cannot be decoded as an image, or is cut off")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def natural_key(path: str | Path) -> list[tuple[int, int, str]]:
    """Sorts names by the numbers in them: `img2` before `img10`."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", Path(path).name)]


def list_images(folder: str | Path) -> list[Path]:
    """The image files of a folder in natural order of their names; hidden files are left out.

    Raises:
        VideoError: there are none.
    """
    paths = [p for p in Path(folder).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not paths:
        raise VideoError(f"{folder}: no images here (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return sorted(paths, key=natural_key)


class ImageFrames:
    """The frames of a list of image files; a path of None stands for a missing frame.

    All must have the size of the first unless `same_size` is False. A file that cannot be decoded is
    missing from iteration while the others keep their index; a `VideoWarning` at the end counts them.

    Raises:
        FileNotFoundError: the first file is missing.
        VideoError: no files, or the first cannot be decoded.
    """

    def __init__(
        self,
        paths: Sequence[str | Path | None],
        fps: float | None = None,
        name: str = "images",
        same_size: bool = True,
        depth: int = 8,
    ) -> None:
        self._paths = [None if path is None else Path(path) for path in paths]
        first = next((path for path in self._paths if path is not None), None)
        if first is None:
            raise VideoError(f"{name}: a video needs at least one image")
        self.name, self.fps, self._same_size, self._depth = name, fps, same_size, depth
        self._first = first
        height, width = read_image(first).shape[:2]
        self.size: tuple[int, int] | None = (height, width)

    @property
    def length(self) -> int | None:
        return len(self._paths)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Frames in order, decoded by a few threads up to `depth` ahead."""
        workers = max(1, min(4, os.cpu_count() or 1))
        lost: list[int] = []
        for index, frame in parallel_map(self._try_read, range(start, len(self._paths)), self._depth, workers):
            if frame is None:
                lost.append(index)
            else:
                yield frame
        if lost:
            text = (
                f"{self.name}: {len(lost)} of {len(self._paths)} images could not be read and are missing, "
                f"the first is {self._paths[lost[0]] or f'frame {lost[0]}'}"
            )
            warnings.warn(VideoWarning(text), stacklevel=2)

    def read(self, index: int) -> Frame:
        if not 0 <= index < len(self._paths):
            raise IndexError(f"{self.name}: frame {index} of {len(self._paths)}")
        path = self._paths[index]
        if path is None:
            raise VideoError(f"{self.name}: frame {index} has no image")
        return self._checked(read_image(path), index, path)

    def _try_read(self, index: int) -> tuple[int, Frame | None]:
        path = self._paths[index]
        try:
            return index, None if path is None else self._checked(read_image(path), index, path)
        except SizeError:
            raise
        except (FileNotFoundError, VideoError):
            return index, None

    def _checked(self, rgb: np.ndarray, index: int, path: Path) -> Frame:
        if self._same_size and rgb.shape[:2] != self.size:
            height, width = self.size or (0, 0)
            raise SizeError(
                f"{path}: is {rgb.shape[1]}x{rgb.shape[0]}, the video's first image {self._first.name} "
                f"{width}x{height}; pass same_size=False to allow it"
            )
        time = None if self.fps is None else index / self.fps
        return Frame.from_array(rgb, index, time, name=path.name)


class SizeError(VideoError):
    """An image whose size differs from that of the others."""
