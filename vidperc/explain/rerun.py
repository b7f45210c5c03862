"""A tracker run again on the same detections, its decisions recorded where objects were lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..structures import Frame, Instances, TrackState, Video
from ..video.association import iou_matrix
from ..video.trace import Limit, Stage, Trace
from ..video.tracking import TrackByDetection, Tracker
from .records import Switch


@dataclass
class Given:
    """What the tracker was given in a frame."""

    detections: Instances
    dt: float


@dataclass
class Moment:
    """What happened in an update."""

    stages: list[Stage]
    start: tuple[Limit, ...]
    takers: dict[int, int]  # detection -> track
    born: set[int]
    alive: dict[int, int]  # tracks before the update -> their state


@dataclass(frozen=True)
class End:
    """When and why a track was ended."""

    frame: int
    reason: str
    by_age: bool = False  # whether a greater max_age would have kept it


@dataclass
class Rerun:
    """A tracker run again on what it was given."""

    given: list[Given]  # of every frame
    moments: dict[int, Moment]  # by frame, of those between the last match and the switch
    ends: dict[int, End]  # by track

    def ended(self, track: int, frame: int) -> End | None:
        """Why a track was not there any more before the update with a frame; None if it was."""
        return None if track in self.moments[frame].alive else self.ends.get(track)


class _Recorder(Tracker):
    """A tracker that keeps what it is given."""

    def __init__(self, inner: Tracker) -> None:
        self.inner = inner
        self.given: list[Given] = []

    def init_state(self) -> Any:
        return self.inner.init_state()

    def update(self, detections: Instances, state: Any, *, frame: Frame | None = None, dt: float = 1.0) -> Instances:
        self.given.append(Given(detections, dt))
        return self.inner.update(detections, state, frame=frame, dt=dt)

    def alive(self, state: Any) -> Instances:
        return self.inner.alive(state)


def run(model: TrackByDetection, video: Video) -> tuple[list[Instances], list[Given]]:
    """The tracks of every frame, and what the tracker was given."""
    recorder = _Recorder(model.tracker)
    model.tracker = recorder
    try:
        tracks = list(model.stream(video))
    finally:
        model.tracker = recorder.inner
    return tracks, recorder.given


def replay(tracker: Tracker, video: Video, given: list[Given], switches: Sequence[Switch]) -> Rerun:
    """The tracker once more: its decisions between the last match and the switch, and when tracks ended."""
    wanted = {index for switch in switches for index in range(switch.since + 1, switch.frame + 1)}
    state = tracker.init_state()
    moments: dict[int, Moment] = {}
    ends: dict[int, End] = {}
    seen: dict[int, int] = {}
    alive: dict[int, int] = {}
    for index, (frame, item) in enumerate(zip(video, given)):
        state.trace = Trace() if index in wanted else None
        tracker.update(item.detections, state, frame=frame, dt=item.dt)
        after = tracker.alive(state)
        assert after.ids is not None and after.states is not None
        now = dict(zip(after.ids.tolist(), after.states.tolist()))
        if state.trace is not None:
            moments[index] = _moment(state.trace, item.detections, alive, after)
        for key in alive.keys() - now.keys():
            ends[key] = _end(tracker, index, alive[key], seen.get(key, index - 1))
        seen |= {key: index for key, how in now.items() if how != TrackState.LOST}
        alive = now
    return Rerun(given, moments, ends)


def _moment(trace: Trace, detections: Instances, before: dict[int, int], after: Instances) -> Moment:
    takers: dict[int, int] = {}
    for stage in trace.stages:
        takers |= dict(zip(stage.detections[stage.columns].tolist(), stage.ids[stage.rows].tolist()))
    assert after.ids is not None
    keys = after.ids.tolist()
    born = set(keys) - before.keys()
    free = [row for row in range(len(detections)) if row not in takers]
    rows = [row for row, key in enumerate(keys) if key in born]
    if free and rows:  # a new track is where its first detection was
        boxes = detections.boxes.double().numpy(force=True)[free]
        overlap = iou_matrix(after.boxes.double().numpy()[rows], boxes)
        takers |= {free[best]: keys[row] for row, best in zip(rows, overlap.argmax(1).tolist())}
    return Moment(trace.stages, trace.start, takers, born, before)


def _end(tracker: Tracker, frame: int, how: int, seen: int) -> End:
    silent, most = frame - seen, setting_of(tracker, "max_age")
    if most is not None and silent > most:
        return End(frame, f"it had not been seen for {silent} frames, more than max_age = {most:g}", by_age=True)
    if how == TrackState.TENTATIVE:
        return End(frame, "it was tentative and not seen again at once")
    return End(frame, "it was taken for the duplicate of another track")


def owner(tracker: Any, setting: str) -> Any:
    """The tracker that has a setting: itself, or one that it is built on."""
    while not hasattr(tracker, setting):
        inner = getattr(tracker, "inner", None) or getattr(tracker, "tracker", None)
        if inner is None:
            return None
        tracker = inner
    return tracker


def setting_of(tracker: Tracker, setting: str) -> Any:
    """The value of a setting; None where no tracker inside has it."""
    return getattr(owner(tracker, setting), setting, None)
