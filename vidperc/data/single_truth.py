"""Records of videos with one object, small enough for data sets of millions of frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import Tensor

from ..structures import Instances


class SingleTruth(Mapping[int, Instances]):
    """The truth of one object by frame: label 0, id 0. Instances are made when they are asked for.

    Args:
        boxes: (T, 4) xyxy.
        known: (T,) bool, the frames that are annotated.
        hidden: (T,) bool, those in which the object is not to be seen; there it is ignored.
    """

    def __init__(self, boxes: Tensor, known: np.ndarray, hidden: np.ndarray) -> None:
        self.boxes, self.known, self.hidden = boxes, known, hidden

    def __getitem__(self, index: int) -> Instances:
        if not (0 <= index < len(self.known) and self.known[index]):
            raise KeyError(index)
        zero = torch.zeros(1, dtype=torch.int64)
        ignored = torch.tensor([bool(self.hidden[index])])
        return Instances(self.boxes[index : index + 1], labels=zero, ids=zero, ignored=ignored)

    def __iter__(self) -> Iterator[int]:
        return iter(self.known.nonzero()[0].tolist())

    def __len__(self) -> int:
        return int(self.known.sum())

    def visible(self) -> np.ndarray:
        """The frames in which the object is to be seen, in order."""
        return (self.known & ~self.hidden).nonzero()[0]


class PictureFiles(Sequence[Path]):
    """Pictures of one folder, in order."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, np.array([name.encode() for name in names])

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> PictureFiles: ...
    def __getitem__(self, index: int | slice) -> Path | PictureFiles:
        if isinstance(index, slice):
            return PictureFiles(self.folder, [name.decode() for name in self.names[index]])
        return self.folder / self.names[index].decode()

    def __len__(self) -> int:
        return len(self.names)
