"""Where tracks are wrong: the false positives, misses and identity switches that CLEAR counts, one by one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .metrics.clear import clear_matches
from .metrics.sequence import MOTSequence


@dataclass(frozen=True)
class Mark:
    """A box with the identity that it has in its file."""

    box: tuple[float, ...]  # xyxy
    id: int


@dataclass(frozen=True)
class Switch:
    """An object that another track follows than at its last match."""

    object: Mark
    before: int  # track that followed it
    now: int
    since: int  # frame of that last match, from 0


@dataclass
class FrameErrors:
    """What a frame's tracks have right and wrong."""

    matched: list[Mark] = field(default_factory=list)  # tracks
    false_positives: list[Mark] = field(default_factory=list)  # tracks
    misses: list[Mark] = field(default_factory=list)  # objects
    switches: list[Switch] = field(default_factory=list)

    @property
    def any(self) -> bool:
        return bool(self.false_positives or self.misses or self.switches)


def find_errors(sequence: MOTSequence, threshold: float = 0.5) -> list[FrameErrors]:
    """The errors of every frame of a sequence that a benchmark's rules gave, with the matching of `clear_counts`.

    Raises:
        ValueError: a sequence without its rows.
    """
    rows = sequence.rows
    if rows is None:
        raise ValueError("the sequence was built without its rows; take it from a benchmark's rules")
    frames = [FrameErrors() for _ in range(sequence.length)]
    pairs = sequence.pairs[clear_matches(sequence, threshold)]
    missed, false = np.ones(sequence.num_truth, bool), np.ones(sequence.num_predictions, bool)
    missed[pairs.truth], false[pairs.prediction] = False, False
    for row in missed.nonzero()[0].tolist():
        frames[sequence.truth_frames[row]].misses.append(_mark(rows.truth_boxes, rows.truth_ids, row))
    for row, wrong in enumerate(false.tolist()):
        frame, mark = frames[sequence.prediction_frames[row]], _mark(rows.prediction_boxes, rows.prediction_ids, row)
        (frame.false_positives if wrong else frame.matched).append(mark)
    last: dict[int, tuple[int, int]] = {}  # object -> the track that followed it last, and when
    for truth, prediction in zip(pairs.truth.tolist(), pairs.prediction.tolist(), strict=True):
        target, now = _mark(rows.truth_boxes, rows.truth_ids, truth), int(rows.prediction_ids[prediction])
        frame_index = int(sequence.truth_frames[truth])
        before, since = last.get(target.id, (now, frame_index))
        if before != now:
            frames[frame_index].switches.append(Switch(target, before, now, since))
        last[target.id] = (now, frame_index)
    return frames


def _mark(boxes: np.ndarray, ids: np.ndarray, row: int) -> Mark:
    return Mark(tuple(boxes[row].tolist()), int(ids[row]))
