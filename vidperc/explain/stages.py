"""The stages of a matching, seen from one detection and one track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..video.trace import Limit, Stage
from .records import Claim, Failure, StageView


def stage_views(stages: Sequence[Stage], row: int, score: float, track: int) -> list[StageView]:
    """All stages as a detection and a track see them, until one of them gave the detection away."""
    views: list[StageView] = []
    gone: int | None = None
    for stage in stages:
        view = _view(stage, row, score, track, gone)
        views.append(view)
        if view.winner is not None:
            gone = view.winner.track
    while len(views) > 1 and views[-1].claim is None and views[-1].detection_taken is not None:
        views.pop()  # nothing is decided there any more
    return views


def _view(stage: Stage, row: int, score: float, track: int, gone: int | None) -> StageView:
    column = _place(stage.detections, row)
    place = _place(stage.ids, track)
    if column is None:
        out = failed_limits(stage.scores, score)
        return StageView(stage.tracks, stage.formula, out, None if out else gone, place is None, None, None, None, None)
    winner = _partner(stage.columns, stage.rows, column)
    allowed = stage.allowed[:, column] & np.isfinite(stage.cost[:, column])
    order = [n for n in np.argsort(stage.cost[:, column], kind="stable").tolist() if allowed[n] and n != winner]
    return StageView(
        tracks=stage.tracks,
        formula=stage.formula,
        detection_out=None,
        detection_taken=None,
        track_out=place is None,
        claim=None if place is None else _claim(stage, place, column),
        winner=None if winner is None else _claim(stage, winner, column),
        runner_up=_claim(stage, order[0], column) if order else None,
        swapped=_swapped(stage, winner, place, column),
    )


def _swapped(stage: Stage, winner: int | None, place: int | None, column: int) -> float | None:
    """How much dearer all would be if winner and track changed places; None where that is not possible."""
    if winner is None or place is None or winner == place or not stage.allowed[place, column]:
        return None
    other = _partner(stage.rows, stage.columns, place)
    made, instead = float(stage.cost[winner, column]), float(stage.cost[place, column])
    if other is not None:
        if not stage.allowed[winner, other]:
            return None
        made, instead = made + float(stage.cost[place, other]), instead + float(stage.cost[winner, other])
    return instead - made


def _claim(stage: Stage, place: int, column: int) -> Claim:
    got = _partner(stage.rows, stage.columns, place)
    failures = [
        Failure(limit.quantity, float(values[place, column]), limit.value, limit.setting, limit.most)
        for limit, values in ((gate.limit, gate.values) for gate in stage.gates)
        if not limit.passes(values[place, column])
    ]
    terms = {name: float(values[place, column]) for name, values in stage.terms.items()}
    taken = None if got is None else int(stage.detections[got])
    return Claim(int(stage.ids[place]), float(stage.cost[place, column]), terms, failures, taken)


def failed_limits(limits: Sequence[Limit], score: float) -> list[Failure]:
    """The limits that a score does not keep."""
    return [
        Failure(limit.quantity, score, limit.value, limit.setting, limit.most)
        for limit in limits
        if not limit.passes(np.float64(score))
    ]


def _partner(mine: np.ndarray, others: np.ndarray, number: int) -> int | None:
    """What is paired with a number: a row of the stage with its column, or the other way round."""
    place = _place(mine, number)
    return None if place is None else int(others[place])


def _place(numbers: np.ndarray, wanted: int) -> int | None:
    found = (numbers == wanted).nonzero()[0]
    return int(found[0]) if len(found) else None
