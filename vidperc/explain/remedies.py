"""Settings that would have decided otherwise: found by the numbers of a decision, and tried."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..structures import Video
from ..video.trace import Trace
from ..video.tracking import Tracker
from .records import Explanation, Failure, Remedy
from .rerun import Rerun, owner, setting_of


@dataclass
class _Fork:
    """A tracker with another setting, from a frame on."""

    explanation: Explanation
    remedy: Remedy
    tracker: Tracker
    first: int
    state: Any = None


def try_remedies(tracker: Tracker, video: Video, rerun: Rerun, found: Sequence[Explanation]) -> None:
    """Run the tracker on with each setting that might have helped, and keep those that did."""
    forks = [fork for item in found if item.decisions for fork in _forks(tracker, item, rerun)]
    if not forks:
        return
    state = tracker.init_state()
    last = max(fork.explanation.decisions[0].frame for fork in forks)
    for index, (frame, item) in enumerate(zip(video, rerun.given[: last + 1])):
        for fork in forks:
            decision = fork.explanation.decisions[0]
            if index == fork.first:
                fork.state = copy.deepcopy(state)
            if fork.first <= index <= decision.frame:
                fork.state.trace = Trace()
                fork.tracker.update(item.detections, fork.state, frame=frame, dt=item.dt)
            if index == decision.frame and _got(fork.state.trace, decision.detection, fork.explanation.switch.before):
                fork.explanation.remedies.append(fork.remedy)
            if index == decision.frame:
                fork.state = None
        tracker.update(item.detections, state, frame=frame, dt=item.dt)


def _got(trace: Trace, detection: int, track: int) -> bool:
    return any(
        (stage.detections[stage.columns] == detection)[stage.ids[stage.rows] == track].any() for stage in trace.stages
    )


def _forks(tracker: Tracker, explanation: Explanation, rerun: Rerun) -> Iterator[_Fork]:
    """The settings that the first decision failed by, each as it would have to be."""
    decision, switch = explanation.decisions[0], explanation.switch
    wanted: dict[str, tuple[Any, int]] = {}
    end = rerun.ended(switch.before, decision.frame)
    if end is not None and end.by_age:
        wanted["max_age"] = (decision.frame - switch.since, switch.since + 1)
    for view in decision.stages:
        for failure in [*(view.detection_out or ()), *(view.claim.failures if view.claim is not None else ())]:
            if failure.setting is not None:
                wanted.setdefault(failure.setting, (_enough(failure), decision.frame))
    inertia = setting_of(tracker, "inertia")
    if inertia is not None and decision.taker is not None and not decision.started:
        wanted["inertia"] = (0.0 if inertia else 0.2, decision.frame)
    for setting, (needed, first) in wanted.items():
        changed = copy.deepcopy(tracker)
        setattr(owner(changed, setting), setting, needed)
        yield _Fork(explanation, Remedy(setting, setting_of(tracker, setting), needed), changed, first)


def _enough(failure: Failure) -> float:
    """The limit that the number would just have kept, in hundredths."""
    hundredths = failure.value * 100
    return (math.floor(hundredths) + 1 if failure.most else math.ceil(hundredths) - 1) / 100
