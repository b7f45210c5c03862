"""Testing a model by name on a data set, for every task: what `tools/test.py` calls."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import fiddle as fdl
import numpy as np
import torch
from rich.table import Table

from .engine.detection import predict_records, process_records, read_frames, score_records
from .engine.experiment import TestData
from .engine.image_sets import ImageSet, find_images
from .engine.mot import MOTRecord, find_sequences, half_sequence, run_sequences, score_sequences, synthetic_sequences
from .engine.processes import Processes, processes
from .engine.segmentation import (
    SegmentationData,
    find_segmentation,
    read_entries,
    score_segmentation,
    segment_records,
    table_of,
)
from .engine.sot import (
    SOTBenchmark,
    find_sot,
    follow_videos,
    follow_with_restarts,
    is_withheld,
    read_boxes,
    truth_of,
)
from .engine.test import record_frames
from .engine.video_detection import find_vid
from .engine.video_detection import write_coco_results as write_video_results
from .evaluation.coco import Backend
from .evaluation.sot import by_tag, evaluate_got10k, evaluate_ope, plot_curves
from .evaluation.vid import VIDEvaluator
from .evaluation.vis import VISScores
from .evaluation.vot import evaluate_vot
from .export.detections import coco_rows, scalabel_frames, write_coco_results, write_scalabel
from .export.motchallenge import write_submission
from .export.sot import export_got10k, export_lasot, export_trackingnet
from .export.youtube_vis import write_youtube_vis
from .image.two_stage import RPN
from .models import get_config, load
from .refine_files import refine_file
from .sequence import Precision, SequenceModel
from .structures import VideoRecord
from .video.motion import MotionDetector
from .video.tracking import GivenDetections

Progress = Callable[[str, int, "int | None"], None]
ResultFormat = Literal["coco", "scalabel"]
DEFAULTS = {
    "det": "tiny_det",
    "vid": "tiny_vid",
    "mot": "bytetrack_tiny_det",
    "sot": "tiny_siamese_rpn",
    "vis": "tiny_vis",
}


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
    result_format: ResultFormat | None = None,
    coco: Backend = "pycocotools",
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    progress: Progress | None = None,
    **overrides: Any,
) -> Outcome:
    """Run a model over a data set, write its results, and score them.

    Of several processes that `torchrun` started each runs whole videos or images of its own; the first one
    scores them all, the others give an empty outcome.

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
        result_format: of image detectors' result files; by default that of the data set.
        coco: what counts COCO's scores of image detectors; "faster" needs faster-coco-eval.
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
    if of != "mot" and (half or refinement):
        raise ValueError(f"'{name}' does not track: halves and refinement are for sequences of tracks")
    with processes() as world:
        model_options = {
            "checkpoint": checkpoint, "device": world.device(device), "precision": precision, **overrides
        }  # fmt: skip
        run = Run(
            name, data_root, sequences, Path(out), resume, format_only, model_options,
            progress if world.rank == 0 else None, world, result_format, coco, half, refinement,
        )  # fmt: skip
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
    world: Processes
    result_format: ResultFormat | None
    coco: Backend
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
    files = {record.name: run.out / f"{record.name}.txt" for record in records}
    share = run.world.share(records, [len(record.video) for record in records])
    run_sequences(model, share, run.out, resume=run.resume, progress=run.progress)
    run.world.wait()
    if run.world.rank:
        return Outcome()
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
    """Detectors on images in COCO's, BDD100K's or PASCAL VOC's layout, or on the config's own (synthetic) test videos.

    Writes the predictions and, of a data set on disk, its result files.
    """
    config = get_config(run.name)
    if run.data_root is None and config.test_data is None:
        raise ValueError(f"'{run.name}' has no test data of its own: give --data-root with images in COCO's layout")
    model = load(run.name, **run.model_options)
    if run.data_root is not None:
        return test_images(run, model, config.classes)
    data = fdl.build(config.test_data)
    data.records = chosen_records(data.records, run.sequences)
    files = predict_records(model, data, run.out, resume=run.resume, progress=run.progress, world=run.world)
    if run.world.rank:
        return Outcome()
    if run.format_only:
        return Outcome(written=written_predictions(run, files))
    return scored(run, score_records(data, files), written_predictions(run, files))


def test_images(run: Run, model: SequenceModel, classes: Sequence[str]) -> Outcome:
    """A detector on images with truth on disk. Region proposals are scored by their recall, whatever the class."""
    proposals = isinstance(model, RPN)
    images = find_images(run.data_root or ".", None if proposals else classes).only(run.sequences)
    data = TestData(images.records, lambda: images.evaluator, "")  # type: ignore[arg-type, return-value]
    files = predict_records(model, data, run.out, resume=run.resume, progress=run.progress, world=run.world)
    if run.world.rank:
        return Outcome()
    frames = {record.name: read_frames(files[record.name]) for record in images.records}
    rows = [
        row
        for name, found in frames.items()
        for number, frame in zip(images.ids[name], found, strict=True)
        for row in coco_rows(number, frame, images.category_ids())  # type: ignore[arg-type]
    ]
    written = [*written_predictions(run, files), *write_results(run, images, frames, rows)]
    if run.format_only:
        return Outcome(written=written)
    if images.evaluator is not None:
        return scored(run, process_records(data, files).evaluate(), written)
    return scored(run, images.score_rows(rows, proposals=proposals, backend=run.coco), written)


def write_results(run: Run, images: ImageSet, frames: Mapping[str, Sequence[Any]], rows: list[dict]) -> list[Path]:
    """The result files in the format asked for, by default the data set's own."""
    if (run.result_format or ("scalabel" if images.layout == "bdd100k" else "coco")) == "coco":
        return write_coco_results(run.out, rows)
    out = []
    for record in images.records:
        names = [Path(path).name for path in record.frames or ()]
        video = record.name if len(names) > 1 else None
        out += scalabel_frames(zip(names, frames[record.name]), images.classes, video)
    return write_scalabel(run.out, out)


def written_predictions(run: Run, files: dict[str, Path]) -> list[Path]:
    """The files of predictions, or their folder where they are many."""
    return list(files.values()) if len(files) < 5 else [run.out / "predictions"]


def scored(run: Run, scores: dict[str, float], written: list[Path]) -> Outcome:
    """The scores as a table and as `scores.json`, after what else was written."""
    path = run.out / "scores.json"
    path.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    table = Table("score", "value")
    for name, value in scores.items():
        table.add_row(name, f"{value:.4f}")
    return Outcome(scores, table, [*written, path])


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
    files = predict_records(model, data, run.out, resume=run.resume, progress=run.progress, world=run.world)
    if run.world.rank:
        return Outcome()
    results = write_video_results(run.out / "results.json", files, config.classes)
    if run.format_only:
        return Outcome(written=[run.out / "predictions", results])
    evaluator = process_records(data, files)
    assert isinstance(evaluator, VIDEvaluator)
    scores = evaluator.scores()
    scores.to_json(run.out / "scores.json")
    return Outcome(scores, scores.table(), [run.out / "predictions", results, run.out / "scores.json"])


def test_segmentation(run: Run) -> Outcome:
    """Video instance segmentation on YouTube-VIS, OVIS or DAVIS, or on the config's own (synthetic) videos.

    Writes one file of results per video, and `results.zip` as the servers take it.
    """
    config = get_config(run.name)
    if run.data_root is not None:
        data = find_segmentation(run.data_root, config.classes)
    elif config.test_data is not None:
        data = SegmentationData.of(fdl.build(config.test_data).records, config.classes)
    else:
        raise ValueError(
            f"'{run.name}' has no test videos of its own: give --data-root, with YouTube-VIS, OVIS or DAVIS"
        )
    data.records = chosen_records(data.records, run.sequences)
    if not data.has_truth and not run.format_only:
        raise ValueError(f"{run.data_root} has no truth to score with; --format-only writes the results alone")
    model = load(run.name, **run.model_options)
    files = segment_records(model, data, run.out, resume=run.resume, progress=run.progress)
    videos = list(data.entries().values())
    results = write_youtube_vis(run.out / "results.zip", read_entries(files), videos, data.category_ids)
    written = [run.out / "predictions", results]
    if run.format_only:
        return Outcome(written=written)
    scores = score_segmentation(data, files)
    path = run.out / "scores.json"
    if isinstance(scores, VISScores):
        scores.to_json(path)
    else:
        path.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return Outcome(scores, table_of(scores), [*written, path])


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
        benchmark = SOTBenchmark(list(fdl.build(config.test_data).records), "ope", "synthetic")
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
    content = {**numbers, "sequences": scores.sequences, "attributes": by_tag(truth, scores)}
    if importlib.util.find_spec("matplotlib"):  # an extra
        written.append(plot_curves({run.name: scores}, run.out / "curves.png", benchmark.name))
    outcome = scored(run, numbers, written)
    outcome.written[-1].write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Outcome(content, outcome.table, outcome.written)


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


RUNNERS: dict[str, Callable[[Run], Outcome]] = {
    "mot": test_mot,
    "det": test_detection,
    "vid": test_video_detection,
    "sot": test_sot,
    "vis": test_segmentation,
}
