"""Testing single-object trackers."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.sot import (
    SOTBenchmark,
    find_sot,
    follow_videos,
    follow_with_restarts,
    is_withheld,
    read_boxes,
    truth_of,
)
from ..engine.test import chosen_records, record_frames
from ..evaluation.sot import by_tag, evaluate_got10k, evaluate_ope, plot_curves
from ..evaluation.vot import evaluate_vot
from ..export.sot import export_got10k, export_lasot, export_trackingnet
from ..models import build, get_config, load
from .run import Outcome, Run, scored


def test_sot(run: Run) -> Outcome:
    """Single-object trackers on a benchmark in its own layout, or on the config's own (synthetic) test videos.

    Writes a result file per video, scores and curves; of GOT-10k, TrackingNet and LaSOT also the archive that they
    take, and for VOT its result folder.
    """
    if run.world.rank:  # tracking is quick beside reading: one process does it all
        return Outcome()
    config = get_config(run.name)
    if run.data_root is not None:
        benchmark = find_sot(run.data_root)
    elif config.test_data is not None:
        benchmark = SOTBenchmark(list(build(config.test_data).records), "ope", "synthetic")
    else:
        raise ValueError(f"'{run.name}' has no test data of its own: give --data-root, a benchmark's folder")
    benchmark.records = chosen_records(benchmark.records, run.sequences)
    model = load(run.name, **run.model_options)
    if benchmark.name == "vot":
        return _score_restarts(run, benchmark, model)
    files = follow_videos(model, benchmark.records, run.out, resume=run.resume, progress=run.progress)
    boxes = {r.name: read_boxes(files[r.name], record_frames(r)) for r in benchmark.records}
    written = [run.out / "results", *_write_archive(run, benchmark, boxes)]
    if run.format_only or all(is_withheld(record) for record in benchmark.records):
        return Outcome(written=written)
    truth = {record.name: truth_of(record) for record in benchmark.records}
    scores = evaluate_ope(truth, boxes)
    numbers = scores.as_dict()
    if benchmark.rules == "got10k":
        numbers |= evaluate_got10k(truth, boxes)
    if importlib.util.find_spec("matplotlib"):  # an extra
        written.append(plot_curves({run.name: scores}, run.out / "curves.png", benchmark.name))
    return scored(run, numbers, written, {"sequences": scores.sequences, "attributes": by_tag(truth, scores)})


def _write_archive(run: Run, benchmark: SOTBenchmark, boxes: dict[str, Any]) -> list[Path]:
    """The submission of a benchmark that has one."""
    path = run.out / "submission.zip"
    if benchmark.name == "got10k":
        times = {name: np.loadtxt(run.out / "results" / f"{name}_time.txt", ndmin=1) for name in boxes}
        return [export_got10k(boxes, times, benchmark.records, path)]
    if benchmark.name in ("trackingnet", "lasot"):
        export = export_trackingnet if benchmark.name == "trackingnet" else export_lasot
        return [export(boxes, benchmark.records, path)]
    return []


def _score_restarts(run: Run, benchmark: SOTBenchmark, model: Any) -> Outcome:
    """VOT: its result folder, accuracy, robustness and, where the videos are long enough, EAO."""
    runs = follow_with_restarts(model, benchmark.records, run.out, resume=run.resume, progress=run.progress)
    written = [run.out / "baseline"]
    if run.format_only:
        return Outcome(written=written)
    numbers = evaluate_vot({name: [each] for name, each in runs.items()}, benchmark.rules)
    return scored(run, numbers, written)
