"""Testing detectors, of images or in video: one file of predictions per video, then the scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..data.datasets import read_frame
from ..data.problems import DataError
from ..data.readers.coco import read_coco
from ..evaluation.coco import COCOEvaluator
from ..evaluation.evaluators import Evaluator
from ..io import open_record
from ..sequence import SequenceModel
from ..structures import Instances, Video, VideoRecord
from .experiment import TestData
from .test import record_frames, stream_protocol

Progress = Callable[[str, int, "int | None"], None]


def find_coco(root: str | Path, classes: Sequence[str]) -> TestData:
    """The data set in COCO's layout below `root`.

    Annotations are `annotations/instances*.json`, that of val where there are several; pictures are in `images/`
    or in a folder named like the split.

    Raises:
        FileNotFoundError: there is none.
    """
    root = Path(root)
    files = sorted(root.glob("annotations/instances*.json"), key=lambda path: ("val" not in path.name, path.name))
    if not files:
        raise FileNotFoundError(f"{root}: no annotations/instances*.json (COCO's layout)")
    split = files[0].stem.removeprefix("instances").strip("_")
    images = next((root / name for name in (split, "images") if name and (root / name).is_dir()), root)
    records = read_coco(files[0], images, classes or None)
    names = records[0].classes if records else tuple(classes)
    return TestData(records, lambda: COCOEvaluator(names), "AP")


def predict_records(
    model: SequenceModel, data: TestData, out: Path, *, resume: bool = False, progress: Progress | None = None
) -> dict[str, Path]:
    """Run a model over all videos; `{name: file}` of the predictions, one JSON file each.

    With `resume` videos whose file is there are left out.
    """
    files = {}
    for record in data.records:
        path = out / "predictions" / f"{record.name}.json"
        files[record.name] = path
        if resume and path.is_file():
            continue
        rows: list[Instances] = []
        protocol = data.protocol or stream_protocol
        for _, predicted in protocol(model, Video(open_record(record))):
            rows.append(predicted.to("cpu"))
            if progress is not None:
                progress(record.name, len(rows), record_frames(record))
        write_predictions(path, rows)
    return files


def score_records(data: TestData, files: dict[str, Path]) -> dict[str, float]:
    """The scores of predictions in files against the records' truth.

    Raises:
        DataError: a file with another number of frames than its video.
    """
    return process_records(data, files).evaluate()


def process_records(data: TestData, files: dict[str, Path]) -> Evaluator:
    """The data's evaluator with all videos taken in; raises as `score_records`."""
    evaluator = data.evaluator()
    for record in data.records:
        predictions = read_predictions(files[record.name])
        if len(predictions) != record_frames(record):
            raise DataError(f"{files[record.name]}: {len(predictions)} frames, the video has {record_frames(record)}")
        truths = [_truth(record, index) for index in range(len(predictions))]
        evaluator.process(record.name, predictions, truths)  # type: ignore[call-arg]
    return evaluator


def _truth(record: VideoRecord, index: int) -> Instances | None:
    return record.instances[index] if index in record.instances else read_frame(record, index).instances


def write_predictions(path: Path, predictions: Sequence[Instances]) -> None:
    """Boxes (xyxy), labels and scores of each frame; the file is complete or not there at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames: list[dict[str, Any]] = [
        {
            "boxes": [[round(value, 3) for value in box] for box in item.boxes.tolist()],
            "labels": [] if item.labels is None else item.labels.tolist(),
            "scores": [] if item.scores is None else [round(score, 6) for score in item.scores.tolist()],
        }
        for item in predictions
    ]
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(frames), encoding="utf-8")
    part.replace(path)


def read_predictions(path: Path) -> list[Instances]:
    """What `write_predictions` wrote.

    Raises:
        DataError: another kind of file.
    """
    try:
        frames = json.loads(path.read_text(encoding="utf-8"))
        return [
            Instances(
                boxes=torch.tensor(frame["boxes"], dtype=torch.float32).reshape(-1, 4),
                labels=torch.tensor(frame["labels"], dtype=torch.int64),
                scores=torch.tensor(frame["scores"], dtype=torch.float32),
            ).validate(str(path))
            for frame in frames
        ]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no predictions: {error}") from error
