"""Tracks written frame by frame: MOTChallenge rows and `tracks.json`, whole at every moment, in flat memory."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from ..structures import Instances
from .errors import ResultError


@dataclass(slots=True)
class WriterPosition:
    """How far a result file is; given to a new writer, that one goes on from there and drops what follows."""

    size: int  # bytes, without the ending
    last: int  # index of the last frame, -1 for none


class _RowFile:
    """A text file that grows by rows before a fixed ending, and is complete after each of them."""

    def __init__(self, path: str | Path, head: str = "", ending: str = "", kept: int | None = None) -> None:
        self.path, self._ending = Path(path), ending.encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb" if kept is None else "r+b", buffering=0)
            size = os.fstat(self._file.fileno()).st_size
            if kept is not None and size >= kept:
                self._file.truncate(kept)
        except OSError as error:
            raise ResultError(f"{path}: cannot be written ({error.strerror})") from error
        if kept is not None and size < kept:
            raise ResultError(f"{path}: cannot go on after byte {kept}, the file has {size}")
        self.end = kept or 0  # where the next row goes, over the ending
        self.append(head if kept is None else "")

    def append(self, text: str) -> None:
        data = text.encode()
        try:
            self._file.seek(self.end)
            _write_all(self._file.fileno(), data + self._ending)
        except OSError as error:
            self._restore()
            raise ResultError(f"{self.path}: cannot be written ({error.strerror}); rows before are kept") from error
        self.end += len(data)

    def _restore(self) -> None:
        """Back to the rows before the one that failed."""
        try:
            self._file.truncate(self.end)
            self._file.seek(self.end)
            self._file.write(self._ending)
        except OSError:
            pass

    def close(self) -> None:
        self._file.close()


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class MotWriter:
    """Writes tracks as MOTChallenge rows `frame, id, x, y, width, height, conf, class, visibility`.

    Frames are numbered from 1 in the file, classes too; class and visibility are -1 where not known,
    and so is the id of objects without one. The file is whole after every frame.

    Raises:
        ResultError: the file cannot be written; a frame with boxes that are not finite or inverted;
            frames out of order.
    """

    def __init__(self, path: str | Path, kept: WriterPosition | None = None) -> None:
        self._file = _RowFile(path, kept=None if kept is None else kept.size)
        self._last = -1 if kept is None else kept.last

    @property
    def position(self) -> WriterPosition:
        """After the last frame written."""
        return WriterPosition(self._file.end, self._last)

    def __enter__(self) -> MotWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, index: int, instances: Instances, time: float | None = None) -> None:
        """Add the objects of the frame at `index`, counted from 0; MOTChallenge files hold no times."""
        self._last = _next_index(self._file.path, index, self._last)
        if len(instances) == 0:
            return
        columns = _columns(self._file.path, index, instances)
        rows = [
            f"{index + 1},{-1 if i is None else i},{x1:.3f},{y1:.3f},{x2 - x1:.3f},{y2 - y1:.3f},"
            f"{1.0 if s is None else s:.5g},{-1 if c is None else c + 1},{-1.0 if v is None else v:.4g}\n"
            for (x1, y1, x2, y2), i, s, c, v in columns
        ]
        self._file.append("".join(rows))

    def close(self) -> None:
        """Close the file; rows are on it already."""
        self._file.close()


class JsonWriter:
    """Writes tracks as json: the video, then for each frame its index, time and objects (boxes xyxy).

        {"video": {"name": ..., "fps": ..., "size": [height, width]}, "classes": [...], "frames": [
        {"frame": 0, "time": 0.0, "objects": [{"id": 1, "label": 0, "score": 0.9, "box": [x1, y1, x2, y2]}]}
        ]}

    The file is valid json after every frame, also when the program is killed.

    Raises:
        ResultError: as `MotWriter`.
    """

    def __init__(
        self,
        path: str | Path,
        name: str = "",
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        classes: Sequence[str] = (),
        kept: WriterPosition | None = None,
    ) -> None:
        video = {"name": name, "fps": fps, "size": list(size) if size else None}
        head = f'{{"video": {json.dumps(video)}, "classes": {json.dumps(list(classes))}, "frames": ['
        self._file = _RowFile(path, head, "\n]}\n", None if kept is None else kept.size)
        self._last = -1 if kept is None else kept.last

    @property
    def position(self) -> WriterPosition:
        """After the last frame written."""
        return WriterPosition(self._file.end, self._last)

    def __enter__(self) -> JsonWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, index: int, instances: Instances, time: float | None = None) -> None:
        """Add the objects of the frame at `index`, counted from 0."""
        separator = "\n" if self._last < 0 else ",\n"
        self._last = _next_index(self._file.path, index, self._last)
        objects = [
            _object(box, i, label, score) for box, i, score, label, _ in _columns(self._file.path, index, instances)
        ]
        row = {"frame": index, "time": None if time is None else round(time, 6), "objects": objects}
        self._file.append(separator + json.dumps(row))

    def close(self) -> None:
        """Close the file; it is complete already."""
        self._file.close()


def _object(box: list[float], identity: int | None, label: int | None, score: float | None) -> dict[str, Any]:
    known = {"id": identity, "label": label, "score": None if score is None else round(score, 5)}
    return {**{key: value for key, value in known.items() if value is not None}, "box": [round(v, 3) for v in box]}


def _next_index(path: Path, index: int, last: int) -> int:
    if index <= last:
        raise ResultError(f"{path}: frame {index} after frame {last}: frames must come in order")
    return index


def _columns(path: Path, index: int, instances: Instances) -> Any:
    """(box, id, score, label, visibility) of each object; None for what is not set."""
    try:
        instances.validate(f"{path}: frame {index}")
    except ValueError as error:
        raise ResultError(str(error)) from error
    fields = (instances.ids, instances.scores, instances.labels, instances.visibilities)
    values = [[None] * len(instances) if field is None else _listed(field) for field in fields]
    return zip(_listed(instances.boxes.double()), *values, strict=True)


def _listed(values: torch.Tensor) -> list:
    return values.detach().cpu().tolist()
