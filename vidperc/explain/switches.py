"""Which switches of a run there are to explain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..engine.mot import MOTRecord
from ..evaluation import read_tracks
from ..evaluation.errors import find_errors
from ..evaluation.rules import rules_for, rules_named
from ..evaluation.tracks import Tracks
from ..structures import Instances
from .records import Switch


def find_switches(record: MOTRecord, tracks: list[Instances], benchmark: str | None = None) -> list[Switch]:
    """The identity switches as the benchmark's rules and CLEAR's matching count them.

    Raises:
        ValueError: there is no ground truth.
    """
    if record.truth is None:
        raise ValueError(f"{record.name}: without ground truth, say which tracks to explain (ids) in which frame")
    predicted = Tracks.from_instances(tracks, record.name, "tracks")
    predicted.labels = None
    rules = rules_for(record.truth) if benchmark is None else rules_named(benchmark)
    return [
        Switch(index, switch.before, switch.now, switch.since, switch.object.id)
        for sequence in rules(record.truth, predicted).values()
        for index, errors in enumerate(find_errors(sequence))
        for switch in errors.switches
    ]


def asked_switch(tracks: list[Instances], ids: tuple[int, int], frame: int | None) -> Switch:
    """That of two tracks, without ground truth.

    Raises:
        ValueError: the tracks are not there.
    """
    if frame is None or not 0 <= frame < len(tracks):
        raise ValueError(f"ids need a frame from 1 to {len(tracks)}, got {None if frame is None else frame + 1}")
    here = tracks[frame].ids
    if here is None or ids[1] not in here.tolist():
        there = [] if here is None else sorted(here.tolist())
        raise ValueError(f"frame {frame + 1} has no track {ids[1]}; it has {', '.join(map(str, there)) or 'none'}")
    seen = [k for k in range(frame) if tracks[k].ids is not None and ids[0] in tracks[k].ids.tolist()]  # type: ignore[union-attr]
    if not seen:
        raise ValueError(f"track {ids[0]} is in no frame before {frame + 1}")
    return Switch(frame, ids[0], ids[1], seen[-1])


def check_same(name: str, again: Sequence[Instances], tracks: str | Path) -> None:
    """That a result file, or the one of a sequence in a folder, holds the tracks of this run.

    Raises:
        ValueError: it does not; the first frame that differs is named. FileNotFoundError: no such file.
    """
    path = Path(tracks) / f"{name}.txt" if Path(tracks).is_dir() else Path(tracks)
    written = next(iter(read_tracks(path, truth=False).values()))
    for index, report in enumerate(again):
        here = written[written.frames == index]
        keys = [] if report.ids is None else report.ids.tolist()
        order, other = np.argsort(keys, kind="stable"), np.argsort(here.ids, kind="stable")
        boxes = report.boxes.double().numpy()[order] if keys else np.zeros((0, 4))
        if sorted(keys) != sorted(here.ids.tolist()) or not np.allclose(boxes, here.boxes[other], atol=0.02):
            raise ValueError(f"{path}, frame {index + 1}: not the tracks that this tracker gives with these settings")
