"""What is said of an identity switch, as data. Frames count from 0."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Switch:
    """What is asked: why track `now` has in `frame` what was track `before`'s, last at `since`. Frames from 0."""

    frame: int
    before: int
    now: int
    since: int
    object: int | None = None  # its id in the ground truth, where there is any


@dataclass(frozen=True)
class Failure:
    """A limit that a number does not keep."""

    quantity: str
    value: float
    limit: float
    setting: str | None
    most: bool


@dataclass(frozen=True)
class Claim:
    """A track and the detection in a stage that both took part in."""

    track: int
    cost: float
    terms: dict[str, float]
    failures: list[Failure]
    got: int | None  # the detection that the track was matched with in this stage


@dataclass(frozen=True)
class StageView:
    """One stage of a decision, seen from the detection and the track that lost the object."""

    tracks: str
    formula: str
    detection_out: list[Failure] | None  # why the detection did not take part: its score; None if it did
    detection_taken: int | None  # the track that an earlier stage gave it to
    track_out: bool  # whether the track that lost the object was not among those of this stage
    claim: Claim | None  # of the track that lost the object
    winner: Claim | None
    runner_up: Claim | None  # the cheapest allowed other track
    swapped: float | None  # by how much the total cost would have been greater the other way round


@dataclass(frozen=True)
class Decision:
    """Who got a detection of the object in a frame, and why."""

    frame: int
    detection: int  # row among those given to the tracker
    score: float
    box: tuple[float, ...]
    track: str  # how the track that lost the object stood
    taker: int | None  # the track that got the detection
    started: bool  # which began with it
    instead: int | None  # detection that the track that lost the object got in this frame
    instead_object: int | None  # whose object is this one, by the ground truth
    stages: list[StageView]
    start_failures: list[Failure]  # why an unmatched detection started no track


@dataclass(frozen=True)
class Remedy:
    """A setting with which the track would have got the detection of the first decision; tried."""

    setting: str
    now: Any
    needed: Any


@dataclass
class Explanation:
    """A switch with the decisions that led to it."""

    sequence: str
    switch: Switch
    undetected: int  # frames since the last match in which no detection was on the object
    decisions: list[Decision]
    remedies: list[Remedy] = field(default_factory=list)


def write_json(path: str | Path, explanations: Sequence[Explanation]) -> None:
    """All that is known of the switches; frames count from 0."""
    Path(path).write_text(json.dumps([asdict(item) for item in explanations], indent=1) + "\n", encoding="utf-8")
