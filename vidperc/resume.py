"""Tracking that goes on where a killed run stopped: the model's state, and how far the result files are."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .io.result_writers import JsonWriter, MotWriter, WriterPosition
from .sequence import SequenceModel
from .structures import Frame, Instances, Video
from .video.tracker_state import load_state, save_state


@dataclass(slots=True)
class Checkpoint:
    """A run between two frames."""

    settings: dict[str, str]  # what the run was started with
    state: Any  # the model's
    waiting: list[Frame]  # taken in by the model, whose predictions it owes
    taken: int  # frames of the video that the model has seen
    text: WriterPosition
    json: WriterPosition


class Stream:
    """`SequenceModel.stream_frames` with a place in the video that can be saved.

    Args:
        model: predicts.
        video: from whose frame `taken` on it goes.
        checkpoint: where to go on; None begins.
    """

    def __init__(self, model: SequenceModel, video: Video, checkpoint: Checkpoint | None = None) -> None:
        self.model, self.video, self.ended = model, video, False
        if checkpoint is None:
            with model.inference():
                self.state = model.init_state(video)
            self.waiting: deque[Frame] = deque()
            self.taken = 0
        else:
            self.state, self.waiting = checkpoint.state, deque(checkpoint.waiting)
            self.taken = checkpoint.taken

    def __iter__(self) -> Iterator[tuple[Frame, Instances]]:
        for frame in self.video.source.frames(self.taken):
            self.waiting.append(frame)
            with self.model.inference():
                instances = self.model.step(frame, self.state)
            self.taken += 1
            if instances is not None:
                yield self.waiting.popleft(), instances
        self.ended = True
        with self.model.inference():
            rest = self.model.finish(self.state)
        yield from zip(self.waiting, rest, strict=True)


class Checkpoints:
    """Writes a checkpoint every so many frames; one more sink of a run, after those that write the results.

    Args:
        path: the file.
        every: frames.
        settings: what the run is started with.
        stream, text, json: what is saved.

    Raises:
        TypeError: the model remembers something that cannot be saved; told before the first frame.
    """

    def __init__(
        self, path: Path, every: int, settings: Mapping[str, str], stream: Stream, text: MotWriter, json: JsonWriter
    ) -> None:
        if every < 1:
            raise ValueError(f"a checkpoint every {every} frames: expected at least 1")
        self.path, self.every, self.settings = path, every, dict(settings)
        self.stream, self.text, self.json = stream, text, json
        self.save()

    def __call__(self, frame: Frame, tracks: Instances) -> None:
        if (frame.index + 1) % self.every == 0 and not self.stream.ended:
            self.save()

    def save(self) -> None:
        """Write the checkpoint in place of the one before."""
        stream = self.stream
        checkpoint = Checkpoint(
            self.settings, stream.state, list(stream.waiting), stream.taken, self.text.position, self.json.position
        )
        save_state(checkpoint, self.path)


def read_checkpoint(path: Path, settings: Mapping[str, str]) -> Checkpoint | None:
    """The checkpoint at `path`, None where there is none.

    Raises:
        ValueError: damaged, or of a run that was started with other settings.
    """
    if not path.is_file():
        return None
    checkpoint = load_state(path)
    if not isinstance(checkpoint, Checkpoint):
        raise ValueError(f"{path}: a {type(checkpoint).__name__}, expected the checkpoint of a run")
    for name, value in settings.items():
        before = checkpoint.settings.get(name)
        if before != value:
            raise ValueError(f"{path}: cannot resume, the run had {name} {before}, now it is {value}")
    return checkpoint


def replay(video: Video, results: Path, sinks: list[Callable[[Frame, Instances], None]]) -> tuple[int, set[int]]:
    """Show the frames that a `tracks.json` has to sinks again, as it has them; how many they are, and the ids.

    Pictures are read only where there are sinks.
    """
    rows = json.loads(results.read_text(encoding="utf-8"))["frames"]
    ids = {found["id"] for row in rows for found in row["objects"] if "id" in found}
    if sinks:
        for frame, row in zip(video, rows):
            for sink in sinks:
                sink(frame, _tracks(row["objects"]))
    return len(rows), ids


def _tracks(objects: list[dict[str, Any]]) -> Instances:
    """Written objects as they were."""

    def column(name: str, dtype: torch.dtype) -> torch.Tensor | None:
        values = [found.get(name) for found in objects]
        return None if None in values else torch.tensor(values, dtype=dtype)

    return Instances(
        boxes=torch.tensor([found["box"] for found in objects], dtype=torch.float32).reshape(-1, 4),
        labels=column("label", torch.int64),
        scores=column("score", torch.float32),
        ids=column("id", torch.int64),
    )
