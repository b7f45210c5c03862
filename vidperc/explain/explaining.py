"""Explanations of a run's identity switches: run, find the switches, run again with a record, explain, try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..engine.mot import MOTRecord, given_sequences
from ..models import load
from ..sequence import Precision
from ..structures import Instances
from ..video.tracking import TrackByDetection, Tracker
from .decisions import boxes_of, explain_switch
from .records import Explanation
from .remedies import try_remedies
from .rerun import Given, replay, run
from .switches import asked_switch, check_same, find_switches


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
        made, given = run(model, record.video)
        if tracks is not None:
            check_same(record.name, made, tracks)
        found += explain_run(
            model.tracker, record, made, given, frame=frame, object=object, ids=ids, benchmark=benchmark
        )
    return found


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
    return explain_run(model.tracker, record, tracks, given, frame=frame, object=object, ids=ids, benchmark=benchmark)


def explain_run(
    tracker: Tracker,
    record: MOTRecord,
    tracks: list[Instances],
    given: list[Given],
    *,
    frame: int | None = None,
    object: int | None = None,
    ids: tuple[int, int] | None = None,
    benchmark: str | None = None,
) -> list[Explanation]:
    """`explain` after the run: with its tracks, and what the tracker was given for them."""
    if ids is not None:
        switches = [asked_switch(tracks, ids, frame)]
    else:
        switches = [
            switch
            for switch in find_switches(record, tracks, benchmark)
            if frame in (None, switch.frame) and object in (None, switch.object)
        ]
    if not switches:
        return []
    rerun = replay(tracker, record.video, given, switches)
    truth = {} if record.truth is None or ids is not None else boxes_of(record.truth)
    found = [explain_switch(switch, record.name, rerun, truth) for switch in switches]
    try_remedies(tracker, record.video, rerun, found)
    return found
