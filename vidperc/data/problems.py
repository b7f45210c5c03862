"""Problems: bad annotations are counted by kind, with the first of each named, and reported in one warning."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, field

import numpy as np


class DataWarning(UserWarning):
    """Annotations or samples that were left out or repaired, with their number."""


class DataError(ValueError):
    """A data set that cannot be used; the message names file, record and expectation."""


@dataclass
class Problems:
    """What was wrong in a data set. `source` names the file or folder."""

    source: str
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, record: object, count: int = 1) -> None:
        """Count a problem; `record` says where the first of its kind was."""
        if count:
            self.counts[kind] += count
            self.examples.setdefault(kind, str(record))

    def warn(self) -> None:
        """One `DataWarning` with all counts, if there are any."""
        if self.counts:
            parts = [f"{count} {kind} (first: {self.examples[kind]})" for kind, count in sorted(self.counts.items())]
            warnings.warn(f"{self.source}: " + "; ".join(parts), DataWarning, stacklevel=3)


def clean_boxes(
    boxes: np.ndarray, size: tuple[int, int] | None, problems: Problems, records: list[str], clip: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) xyxy clipped to the picture of `size` (height, width), and which are usable, (N,) bool.

    Not usable: NaN or infinite, inverted or empty, wholly outside. Each is counted in `problems` under
    its record's name. Boxes that lie partly outside are usual and not counted.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    finite = np.asarray(np.isfinite(boxes).all(1))
    safe = np.where(finite[:, None], boxes, 0)
    ordered = (safe[:, 2] > safe[:, 0]) & (safe[:, 3] > safe[:, 1])
    inside = np.ones(len(boxes), bool)
    clipped = safe
    if size is not None:
        height, width = size
        inside = (safe[:, 0] < width) & (safe[:, 1] < height) & (safe[:, 2] > 0) & (safe[:, 3] > 0)
        if clip:
            clipped = np.clip(safe, 0, np.asarray([width, height, width, height], np.float32))
    for kind, bad in (
        ("boxes that are not finite", ~finite),
        ("empty or inverted boxes", finite & ~ordered),
        ("boxes outside the picture", finite & ordered & ~inside),
    ):
        for row in np.flatnonzero(bad).tolist():
            problems.add(kind, records[row])
    return clipped, finite & ordered & inside
