"""Testing a model by name on a data set, for every task: what `tools/test.py` calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fiddle as fdl
import torch
from rich.table import Table

from .engine.detection import find_coco, predict_records, process_records, score_records
from .engine.mot import MOTRecord, find_sequences, half_sequence, run_sequences, score_sequences, synthetic_sequences
from .engine.video_detection import find_vid, write_coco_results
from .evaluation.vid import VIDEvaluator
from .export.motchallenge import write_submission
from .models import get_config, load
from .refine_files import refine_file
from .sequence import Precision
from .structures import VideoRecord
from .video.motion import MotionDetector
from .video.tracking import GivenDetections

Progress = Callable[[str, int, "int | None"], None]
DEFAULTS = {"mot": "sort", "det": "tiny_det", "vid": "tiny_vid"}


@dataclass
class Outcome:
    """Scores, as values and as a table, and the files that were written."""

    scores: Any = None
    table: Any = None
    written: list[Path] = field(default_factory=list)


def test(
    name: str | None = None,
    *,
    task: str | None = None,
    data_root: str | Path | None = None,
    sequences: Sequence[str] | None = None,
    out: str | Path = "out/test",
    resume: bool = False,
    half: str | None = None,
    refinement: str | None = None,
    format_only: bool = False,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    progress: Progress | None = None,
    **overrides: Any,
) -> Outcome:
    """Run a model over a data set, write its results, and score them.

    Args:
        name: of the model; by default the task's own.
        task: of the model; needed where there is no name.
        data_root: folder of the data set in its benchmark's layout; None takes the synthetic videos.
        sequences: names of the sequences or videos to run; all by default.
        out: results go there, one file per sequence as soon as it is finished, and `scores.json`.
        resume: leave out sequences whose results are there already.
        half: "train" or "val", for tracking: only the first or the second half of every sequence, renumbered.
        refinement: "linear", "gaussian" or "kalman", for tracking: refine the results, in `out/refined`.
        format_only: write results and the submission, no scores.
        checkpoint, device, precision, overrides: as for `vidperc.load`.

    Raises:
        ValueError: neither a name nor a task, or a task without a default. FileNotFoundError: the data.
    """
    if name is None:
        if task not in DEFAULTS:
            raise ValueError(f"name a model, or a task that has a default: {', '.join(DEFAULTS)}")
        name = DEFAULTS[task]
    of = get_config(name).task
    if task is not None and task != of:
        raise ValueError(f"'{name}' is a model for task {of}, not {task}")
    if of not in RUNNERS:
        raise ValueError(f"'{name}': testing of task {of} is not there yet; tasks: {', '.join(RUNNERS)}")
    model_options = {"checkpoint": checkpoint, "device": device, "precision": precision, **overrides}
    if of != "mot" and (half or refinement):
        raise ValueError(f"'{name}' does not track: halves and refinement are for sequences of tracks")
    run = Run(name, data_root, sequences, Path(out), resume, format_only, model_options, progress, half, refinement)
    return RUNNERS[of](run)


@dataclass
class Run:
    """What a task's runner needs to know."""

    name: str
    data_root: str | Path | None
    sequences: Sequence[str] | None
    out: Path
    resume: bool
    format_only: bool
    model_options: dict[str, Any]
    progress: Progress | None
    half: str | None = None
    refinement: str | None = None


def test_mot(run: Run) -> Outcome:
    """Trackers on MOTChallenge sequences, or on synthetic ones with the motion detector."""
    records: list[MOTRecord]
    model = load(run.name, **run.model_options)
    if run.data_root is None:
        records = synthetic_sequences()
        if isinstance(getattr(model, "detector", None), GivenDetections):
            model.detector = fdl.build(fdl.Config(MotionDetector))
    else:
        records = find_sequences(run.data_root, run.sequences)
    if run.half is not None:
        records = [half_sequence(record, run.half) for record in records]
    files = run_sequences(model, records, run.out, resume=run.resume, progress=run.progress)
    if run.refinement is not None:
        (run.out / "refined").mkdir(exist_ok=True)
        raw, files = files, {name: run.out / "refined" / path.name for name, path in files.items()}
        for name, path in files.items():
            refine_file(raw[name], path, run.refinement)
    written = list(files.values())
    lengths = {record.name: len(record.video) for record in records}
    if run.format_only:
        return Outcome(written=[*written, write_submission(run.out / "submission.zip", files, lengths)])
    scores = score_sequences(records, files, run.out)
    if scores is None:
        return Outcome(written=written)
    return Outcome(scores, scores.table(), [*written, run.out / "scores.json"])


def test_detection(run: Run) -> Outcome:
    """Detectors on a data set in COCO's layout, or on the config's own (synthetic) test videos."""
    config = get_config(run.name)
    if run.data_root is None and config.test_data is None:
        raise ValueError(f"'{run.name}' has no test data of its own: give --data-root, in COCO's layout")
    data = fdl.build(config.test_data) if run.data_root is None else find_coco(run.data_root, config.classes)
    if run.sequences is not None:
        data.records = [record for record in data.records if record.name in run.sequences]
    files = predict_records(
        load(run.name, **run.model_options), data, run.out, resume=run.resume, progress=run.progress
    )
    if run.format_only:
        return Outcome(written=list(files.values()))
    scores = score_records(data, files)
    path = run.out / "scores.json"
    path.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    table = Table("score", "value")
    for name, value in scores.items():
        table.add_row(name, f"{value:.4f}")
    return Outcome(scores, table, [*files.values(), path] if len(files) < 5 else [run.out / "predictions", path])


def test_video_detection(run: Run) -> Outcome:
    """Video detectors on ImageNet VID, on a data set in CocoVID's layout, or on the config's own (synthetic) videos.

    Writes one file of predictions per video, and `results.json` in COCO's form.
    """
    config = get_config(run.name)
    if run.data_root is not None:
        data = find_vid(run.data_root, config.classes)
    elif config.test_data is not None:
        data = fdl.build(config.test_data)
        data.evaluator = partial(VIDEvaluator, config.classes)
    else:
        raise ValueError(f"'{run.name}' has no test data of its own: give --data-root, with ImageNet VID or CocoVID")
    data.records = chosen_records(data.records, run.sequences)
    model = load(run.name, **run.model_options)
    files = predict_records(model, data, run.out, resume=run.resume, progress=run.progress)
    results = write_coco_results(run.out / "results.json", files, config.classes)
    if run.format_only:
        return Outcome(written=[run.out / "predictions", results])
    evaluator = process_records(data, files)
    assert isinstance(evaluator, VIDEvaluator)
    scores = evaluator.scores()
    scores.to_json(run.out / "scores.json")
    return Outcome(scores, scores.table(), [run.out / "predictions", results, run.out / "scores.json"])


def chosen_records(records: Sequence[VideoRecord], names: Sequence[str] | None) -> list[VideoRecord]:
    """The records of these names, all for None.

    Raises:
        ValueError: a name that there is not.
    """
    if names is None:
        return list(records)
    known = [record.name for record in records]
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"no video {', '.join(missing)}; there is {', '.join(known[:10])}{' ...' * (len(known) > 10)}")
    return [record for record in records if record.name in names]


RUNNERS: dict[str, Callable[[Run], Outcome]] = {"mot": test_mot, "det": test_detection, "vid": test_video_detection}
