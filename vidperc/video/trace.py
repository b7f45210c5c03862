"""What a tracker decided in an update, and by which numbers: recorded where somebody asks, free where nobody does.

A state that carries a `Trace` collects every stage of matching:

    state = tracker.init_state()
    state.trace = Trace()
    tracker.update(detections, state)
    state.trace.stages[0].cost  # of each track that took part with each detection that did
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Limit:
    """A condition on a number: at least `value`, or with `most` at most. Equal numbers count as within."""

    quantity: str  # "score", "IoU" ...
    value: float
    setting: str | None = None  # the tracker's argument that says so; None for a constant of the method
    most: bool = False

    def passes(self, numbers: Floats) -> Bools:
        """Which of the numbers are within."""
        return np.asarray(numbers <= self.value if self.most else numbers >= self.value)


@dataclass(frozen=True)
class Gate:
    """A limit on every pair of a stage."""

    limit: Limit
    values: Floats  # (N, M)


@dataclass(frozen=True)
class Stage:
    """One matching of N tracks with M detections."""

    tracks: str  # which take part, in words
    ids: Ints  # (N,)
    scores: tuple[Limit, ...]  # what a detection's score must be to take part
    detections: Ints  # (M,) rows of the detections given to the tracker
    cost: Floats  # (N, M), the total of which was made least
    formula: str  # of the cost, in words
    terms: Mapping[str, Floats]  # (N, M) each: what the cost is made of
    gates: tuple[Gate, ...]  # what a pair must pass to be made
    rows: Ints  # (P,) of `ids`, matched ...
    columns: Ints  # ... with these of `detections`
    gated_first: bool = True  # whether the assignment knew the gates, or its pairs were checked afterwards

    @property
    def allowed(self) -> Bools:
        """(N, M): the pairs that pass all gates."""
        out = np.ones(self.cost.shape, bool)
        for gate in self.gates:
            out &= gate.limit.passes(gate.values)
        return out


@dataclass(slots=True)
class Trace:
    """The stages of the updates made since it was put into a state, and what a detection needs to start a track."""

    stages: list[Stage] = field(default_factory=list)
    start: tuple[Limit, ...] = ()

    def extend(self, other: Trace, rows: Ints) -> None:
        """Add what was recorded on the detections at `rows` only."""
        self.stages += [replace(stage, detections=rows.take(stage.detections)) for stage in other.stages]
        self.start = other.start


def overlap_stage(
    tracks: str,
    ids: Ints,
    scores: tuple[Limit, ...],
    detections: Ints,
    overlap: Floats,
    least: Limit,
    pairs: tuple[Ints, Ints],
    gated_first: bool = True,
) -> Stage:
    """A stage that pairs by the overlaps (N, M) alone; `least` is a limit on 1 - IoU where it is one of `most`."""
    gate = Gate(least, 1.0 - overlap if least.most else overlap)
    return Stage(
        tracks, ids, scores, detections, 1.0 - overlap, "1 - IoU", {"IoU": overlap}, (gate,), *pairs, gated_first
    )


def cost_stage(
    tracks: str,
    ids: Ints,
    rows: Ints,
    scores: tuple[Limit, ...],
    detections: Ints,
    columns: Ints,
    cost: Floats,
    formula: str,
    terms: Mapping[str, Floats],
    most: Limit,
    pairs: tuple[Ints, Ints],
) -> Stage:
    """A stage that pairs `rows` of all tracks and `columns` of all detections by a cost of at most so much.

    Args:
        tracks, scores, formula: as in `Stage`.
        ids, detections, cost, terms: of all tracks (N,), all detections (M,), and both (N, M).
        rows, columns: ascending.
        most: limit of the cost.
        pairs: made, as indices of all tracks and all detections.
    """
    block = np.ix_(rows, columns)
    cost = cost[block]
    return Stage(
        tracks=tracks,
        ids=ids.take(rows),
        scores=scores,
        detections=detections.take(columns),
        cost=cost,
        formula=formula,
        terms={name: values[block] for name, values in terms.items()},
        gates=(Gate(most, cost),),
        rows=np.searchsorted(rows, pairs[0]),
        columns=np.searchsorted(columns, pairs[1]),
    )
