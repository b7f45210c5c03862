"""Videos with their frame numbers drawn into the pictures, as black and white blocks that any codec keeps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS, BLOCK = 16, 20
HEIGHT, WIDTH = 144, 176


def picture(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(H, W, 3) with `number` in two rows of blocks over a moving pattern."""
    image = np.full((height, width, 3), 80, np.uint8)
    image[2 * BLOCK + 20 :] = (np.indices((height - 2 * BLOCK - 20, width)).sum(0)[..., None] + 3 * number) % 256
    for bit in range(BITS):
        row, column = divmod(bit, 8)
        value = 255 if number >> bit & 1 else 0
        image[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK] = value
    return image


def number_in(image: np.ndarray) -> int:
    """The number drawn by `picture`."""
    centers = [(bit // 8 * BLOCK + BLOCK // 2, bit % 8 * BLOCK + BLOCK // 2) for bit in range(BITS)]
    return sum(1 << bit for bit, (y, x) in enumerate(centers) if image[y, x].mean() > 128)


def encode(
    path: Path,
    count: int,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    per_second: int = 1000,
    fps: int = 25,
) -> list[float]:
    """Write a clip of frames 0, 1, ...; their times in seconds from the first.

    `ticks` are the frames' time stamps in units of 1 / `per_second`; by default `fps` frames a second.
    """
    if ticks is None:
        ticks, per_second = range(count), fps
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, per_second)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = int(ticks[number]), Fraction(1, per_second)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return [(tick - ticks[0]) / per_second for tick in ticks]
