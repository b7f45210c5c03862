"""Why identities switch: a tracker run again on the same detections, its decisions recorded where objects were lost.

The track that an object leaves is followed from its last match on. What is explained are two decisions: the first
one in which a detection of the object went to no track or to another one, and the one in which the object's new track
got it. Settings that would have decided the first otherwise are found by its numbers, and tried.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .engine.mot import MOTRecord, given_sequences
from .evaluation import read_tracks
from .evaluation.errors import find_errors
from .evaluation.rules import rules_for, rules_named
from .evaluation.tracks import Tracks
from .models import load
from .sequence import Precision
from .structures import Frame, Instances, TrackState, Video
from .video.association import iou_matrix
from .video.trace import Limit, Stage, Trace
from .video.tracking import TrackByDetection, Tracker

ON_OBJECT = 0.5  # least IoU of a detection with the object it is said to be of
FAINT = 0.1  # detections scored below are none


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


@dataclass
class _Given:
    """What the tracker was given in a frame."""

    detections: Instances
    dt: float


@dataclass
class _Moment:
    """What happened in an update."""

    stages: list[Stage]
    start: tuple[Limit, ...]
    takers: dict[int, int]  # detection -> track
    born: set[int]
    alive: dict[int, int]  # tracks before the update -> their state


class _Recorder(Tracker):
    """A tracker that keeps what it is given."""

    def __init__(self, inner: Tracker) -> None:
        self.inner = inner
        self.given: list[_Given] = []

    def init_state(self) -> Any:
        return self.inner.init_state()

    def update(self, detections: Instances, state: Any, *, frame: Frame | None = None, dt: float = 1.0) -> Instances:
        self.given.append(_Given(detections, dt))
        return self.inner.update(detections, state, frame=frame, dt=dt)

    def alive(self, state: Any) -> Instances:
        return self.inner.alive(state)


def explain_sequences(
    tracker: str,
    ground_truth: str | Path | None = None,
    detections: str | Path | None = None,
    *,
    sequences: Sequence[str] | None = None,
    tracks: str | Path | None = None,
    frame: int | None = None,
    object: int | None = None,
    ids: tuple[int, int] | None = None,
    benchmark: str | None = None,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    **settings: Any,
) -> list[Explanation]:
    """`explain` for a tracker by name on sequences from files, as the command of that name does.

    Args:
        tracker: name of a config, mostly of one that tracks given detections.
        ground_truth, detections, sequences: a folder of MOTChallenge sequences, or a gt.txt and a det.txt.
        tracks: results; it is an error if the tracker does not give them again.
        frame, object, ids, benchmark: as for `explain`.
        checkpoint, device, precision, settings: as for `vidperc.load`; settings are the tracker's.

    Raises:
        KeyError, FileNotFoundError: the model or the data. TypeError: a model without a tracker of its own.
        ValueError: as `explain`; results that are another run's, named by frame.
    """
    changes = {f"model.tracker.{name}": value for name, value in settings.items()}
    model = load(tracker, checkpoint, device, precision, **changes)
    if not isinstance(model, TrackByDetection):
        raise TypeError(f"'{tracker}' does not associate detections with a tracker of its own: nothing to explain")
    found: list[Explanation] = []
    for record in given_sequences(ground_truth, detections, sequences):
        if tracks is not None:
            check_same(record.name, run(model, record.video)[0], tracks)
        found += explain(model, record, frame=frame, object=object, ids=ids, benchmark=benchmark)
    return found


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


def write_json(path: str | Path, explanations: Sequence[Explanation]) -> None:
    """All that is known of the switches; frames count from 0."""
    Path(path).write_text(json.dumps([asdict(item) for item in explanations], indent=1) + "\n", encoding="utf-8")


def explain(
    model: TrackByDetection,
    record: MOTRecord,
    *,
    frame: int | None = None,
    object: int | None = None,
    ids: tuple[int, int] | None = None,
    benchmark: str | None = None,
) -> list[Explanation]:
    """The identity switches of a sequence, explained.

    Args:
        model: with the tracker in question.
        record: the sequence; its ground truth says what a switch is.
        frame: only those of this frame, from 0.
        object: only those of this object of the ground truth.
        ids: instead, without ground truth: why the second track got its detection in `frame`, not the first.
        benchmark: whose rules count switches; by default the ground truth's layout tells.

    Raises:
        ValueError: neither ground truth nor ids, or ids that are not there in the frame.
    """
    tracks, given = run(model, record.video)
    if ids is not None:
        switches = [_asked(tracks, ids, frame)]
    else:
        switches = [
            switch
            for switch in find_switches(record, tracks, benchmark)
            if frame in (None, switch.frame) and object in (None, switch.object)
        ]
    if not switches:
        return []
    moments, ends = replay(model.tracker, record.video, given, switches)
    truth = {} if record.truth is None or ids is not None else _boxes(record.truth)
    found = [_explain(switch, record.name, given, moments, ends, truth) for switch in switches]
    _try_remedies(model.tracker, record.video, given, moments, found)
    return found


def run(model: TrackByDetection, video: Video) -> tuple[list[Instances], list[_Given]]:
    """The tracks of every frame, and what the tracker was given."""
    recorder = _Recorder(model.tracker)
    model.tracker = recorder
    try:
        tracks = list(model.stream(video))
    finally:
        model.tracker = recorder.inner
    return tracks, recorder.given


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


def _asked(tracks: list[Instances], ids: tuple[int, int], frame: int | None) -> Switch:
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


@dataclass(frozen=True)
class _End:
    """When and why a track was ended."""

    frame: int
    reason: str
    setting: str | None = None
    needed: float | None = None  # value of the setting with which it would have lived on


def replay(
    tracker: Tracker, video: Video, given: Sequence[_Given], switches: Sequence[Switch]
) -> tuple[dict[int, _Moment], dict[int, _End]]:
    """The tracker once more: its decisions between the last match and the switch, and when tracks ended."""
    wanted = {index for switch in switches for index in range(switch.since + 1, switch.frame + 1)}
    state = tracker.init_state()
    moments: dict[int, _Moment] = {}
    ends: dict[int, _End] = {}
    seen: dict[int, int] = {}
    alive: dict[int, int] = {}
    for index, (frame, item) in enumerate(zip(video, given)):
        state.trace = Trace() if index in wanted else None
        report = tracker.update(item.detections, state, frame=frame, dt=item.dt)
        after = tracker.alive(state)
        assert after.ids is not None and after.states is not None
        now = dict(zip(after.ids.tolist(), after.states.tolist()))
        if state.trace is not None:
            moments[index] = _moment(state.trace, item.detections, report, alive, after)
        for key in alive.keys() - now.keys():
            ends[key] = _end(tracker, index, alive[key], seen.get(key, index - 1))
        seen |= {key: index for key, how in now.items() if how != TrackState.LOST}
        alive = now
    return moments, ends


def _moment(
    trace: Trace, detections: Instances, report: Instances, before: dict[int, int], after: Instances
) -> _Moment:
    takers: dict[int, int] = {}
    for stage in trace.stages:
        takers |= dict(zip(stage.detections[stage.columns].tolist(), stage.ids[stage.rows].tolist()))
    assert after.ids is not None
    keys = after.ids.tolist()
    born = set(keys) - before.keys()
    free = [row for row in range(len(detections)) if row not in takers]
    rows = [row for row, key in enumerate(keys) if key in born]
    if free and rows:  # a new track is where its first detection was
        boxes = detections.boxes.detach().cpu().double().numpy()[free]
        overlap = iou_matrix(after.boxes.double().numpy()[rows], boxes)
        takers |= {free[best]: keys[row] for row, best in zip(rows, overlap.argmax(1).tolist())}
    return _Moment(trace.stages, trace.start, takers, born, before)


def _end(tracker: Tracker, frame: int, how: int, seen: int) -> _End:
    silent, most = frame - seen, _setting(tracker, "max_age")
    if most is not None and silent > most:
        return _End(frame, f"it had not been seen for {silent} frames, more than max_age = {most:g}", "max_age", silent)
    if how == TrackState.TENTATIVE:
        return _End(frame, "it was tentative and not seen again at once")
    return _End(frame, "it was taken for the duplicate of another track")


def _boxes(truth: Tracks) -> dict[int, dict[int, np.ndarray]]:
    """Boxes of the ground truth by frame and id."""
    out: dict[int, dict[int, np.ndarray]] = {}
    for frame, key, box in zip(truth.frames.tolist(), truth.ids.tolist(), truth.boxes):
        out.setdefault(frame, {})[key] = box
    return out


def _explain(
    switch: Switch,
    sequence: str,
    given: Sequence[_Given],
    moments: dict[int, _Moment],
    ends: dict[int, _End],
    truth: dict[int, dict[int, np.ndarray]],
) -> Explanation:
    """The decisions behind one switch."""
    span = range(switch.since + 1, switch.frame + 1)
    own: dict[int, int] = {}  # frame -> detection of the object
    for index in span:
        row = _detection_of(switch, index, given[index].detections, moments[index], truth)
        if row is not None:
            own[index] = row
    lost = next((k for k, row in own.items() if moments[k].takers.get(row) != switch.before), switch.frame)
    taken = next((k for k, row in own.items() if moments[k].takers.get(row) == switch.now), switch.frame)
    decisions = [
        _decision(index, own[index], switch, given[index].detections, moments[index], ends, truth.get(index, {}))
        for index in sorted({lost, taken})
        if index in own
    ]
    return Explanation(sequence, switch, len(span) - len(own), decisions)


def _detection_of(
    switch: Switch, index: int, detections: Instances, moment: _Moment, truth: dict[int, dict[int, np.ndarray]]
) -> int | None:
    """The detection of the object in a frame: that of its track in the frame of the switch, else the nearest."""
    if index == switch.frame:
        return next((row for row, key in moment.takers.items() if key == switch.now), None)
    box = truth.get(index, {}).get(-1 if switch.object is None else switch.object)
    if box is None or not len(detections):
        return None
    overlap = iou_matrix(box[None].astype(np.float64), detections.boxes.detach().cpu().double().numpy())[0]
    if detections.scores is not None:
        overlap = np.where(detections.scores.cpu().numpy() < FAINT, 0.0, overlap)
    return int(overlap.argmax()) if overlap.max() >= ON_OBJECT else None


def _decision(
    index: int,
    row: int,
    switch: Switch,
    detections: Instances,
    moment: _Moment,
    ends: dict[int, _End],
    truth: dict[int, np.ndarray],
) -> Decision:
    score = 1.0 if detections.scores is None else float(detections.scores[row])
    taker = moment.takers.get(row)
    instead = next((other for other, key in moment.takers.items() if key == switch.before), None)
    end = ends.get(switch.before)
    if switch.before not in moment.alive and end is not None:
        standing = f"had ended in frame {end.frame + 1}: {end.reason}"
    else:
        standing = {0: "was tentative", 1: "was confirmed", 2: "was lost"}[moment.alive.get(switch.before, 0)]
    return Decision(
        frame=index,
        detection=row,
        score=score,
        box=tuple(round(value, 1) for value in detections.boxes[row].tolist()),
        track=standing,
        taker=taker,
        started=taker in moment.born,
        instead=instead if instead != row else None,
        instead_object=_object_at(detections.boxes[instead], truth) if instead not in (None, row) else None,
        stages=_views(row, score, switch.before, moment),
        start_failures=_failures(moment.start, score) if taker is None else [],
    )


def _object_at(box: Any, truth: dict[int, np.ndarray]) -> int | None:
    """The object of the ground truth that a detection is on."""
    if not truth:
        return None
    overlap = iou_matrix(box.double().numpy()[None], np.stack(list(truth.values())).astype(np.float64))[0]
    return list(truth)[int(overlap.argmax())] if overlap.max() >= ON_OBJECT else None


def _views(row: int, score: float, track: int, moment: _Moment) -> list[StageView]:
    """All stages, until one of them gave the detection away."""
    views: list[StageView] = []
    gone: int | None = None
    for stage in moment.stages:
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
        out = _failures(stage.scores, score)
        return StageView(stage.tracks, stage.formula, out, None if out else gone, place is None, None, None, None, None)
    winner = next((n for n, c in zip(stage.rows.tolist(), stage.columns.tolist()) if c == column), None)
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
    other = next((c for n, c in zip(stage.rows.tolist(), stage.columns.tolist()) if n == place), None)
    made, instead = float(stage.cost[winner, column]), float(stage.cost[place, column])
    if other is not None:
        if not stage.allowed[winner, other]:
            return None
        made, instead = made + float(stage.cost[place, other]), instead + float(stage.cost[winner, other])
    return instead - made


def _claim(stage: Stage, place: int, column: int) -> Claim:
    got = next((c for n, c in zip(stage.rows.tolist(), stage.columns.tolist()) if n == place), None)
    failures = [
        Failure(limit.quantity, float(values[place, column]), limit.value, limit.setting, limit.most)
        for limit, values in ((gate.limit, gate.values) for gate in stage.gates)
        if not limit.passes(values[place, column])
    ]
    terms = {name: float(values[place, column]) for name, values in stage.terms.items()}
    taken = None if got is None else int(stage.detections[got])
    return Claim(int(stage.ids[place]), float(stage.cost[place, column]), terms, failures, taken)


def _failures(limits: Sequence[Limit], score: float) -> list[Failure]:
    return [
        Failure(limit.quantity, score, limit.value, limit.setting, limit.most)
        for limit in limits
        if not limit.passes(np.float64(score))
    ]


def _place(numbers: np.ndarray, wanted: int) -> int | None:
    found = (numbers == wanted).nonzero()[0]
    return int(found[0]) if len(found) else None


# what would have decided otherwise


@dataclass
class _Fork:
    """A tracker with another setting, from a frame on."""

    explanation: Explanation
    remedy: Remedy
    tracker: Tracker
    first: int
    state: Any = None


def _try_remedies(
    tracker: Tracker,
    video: Video,
    given: Sequence[_Given],
    moments: dict[int, _Moment],
    found: Sequence[Explanation],
) -> None:
    """Run the tracker on with each setting that might have helped, and keep those that did."""
    forks = [fork for item in found if item.decisions for fork in _forks(tracker, item, moments)]
    if not forks:
        return
    state = tracker.init_state()
    last = max(fork.explanation.decisions[0].frame for fork in forks)
    for index, (frame, item) in enumerate(zip(video, given[: last + 1])):
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


def _forks(tracker: Tracker, explanation: Explanation, moments: dict[int, _Moment]) -> Iterator[_Fork]:
    """The settings that the first decision failed by, each as it would have to be."""
    decision, switch = explanation.decisions[0], explanation.switch
    wanted: dict[str, tuple[Any, int]] = {}
    if decision.track.startswith("had ended") and "max_age" in decision.track:
        wanted["max_age"] = (decision.frame - switch.since, switch.since + 1)
    for view in decision.stages:
        for failure in [*(view.detection_out or ()), *(view.claim.failures if view.claim is not None else ())]:
            if failure.setting is not None:
                wanted.setdefault(failure.setting, (_enough(failure), decision.frame))
    inertia = _setting(tracker, "inertia")
    if inertia is not None and decision.taker is not None and not decision.started:
        wanted["inertia"] = (0.0 if inertia else 0.2, decision.frame)
    for setting, (needed, first) in wanted.items():
        changed = copy.deepcopy(tracker)
        setattr(_owner(changed, setting), setting, needed)
        yield _Fork(explanation, Remedy(setting, _setting(tracker, setting), needed), changed, first)


def _enough(failure: Failure) -> float:
    """The limit that the number would just have kept, in hundredths."""
    hundredths = failure.value * 100
    return (math.floor(hundredths) + 1 if failure.most else math.ceil(hundredths) - 1) / 100


def _owner(tracker: Any, setting: str) -> Any:
    """The tracker that has a setting: itself, or one that it is built on."""
    while not hasattr(tracker, setting):
        inner = getattr(tracker, "inner", None) or getattr(tracker, "tracker", None)
        if inner is None:
            return None
        tracker = inner
    return tracker


def _setting(tracker: Tracker, setting: str) -> Any:
    return getattr(_owner(tracker, setting), setting, None)
