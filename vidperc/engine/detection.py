"""Testing detectors, of images or in video: one file of predictions per video, then the scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.datasets import read_frame
from ..data.problems import DataError
from ..data.readers.coco import read_coco
from ..evaluation.coco import COCOEvaluator
from ..evaluation.evaluators import Evaluator
from ..export.detections import FrameDetections
from ..io import open_record
from ..io.whole_files import write_json
from ..sequence import SequenceModel
from ..structures import Instances, Video, VideoRecord
from ..structures.masks import decode_masks, encode_masks
from .experiment import TestData
from .image_sets import coco_files
from .processes import Processes
from .test import record_frames, stream_protocol

Progress = Callable[[str, int, "int | None"], None]


def find_coco(root: str | Path, classes: Sequence[str]) -> TestData:
    """The data set in COCO's layout below `root`.

    Annotations are `annotations/instances*.json`, that of val where there are several; pictures are in `images/`
    or in a folder named like the split.

    Raises:
        FileNotFoundError: there is none.
    """
    files = coco_files(Path(root))
    if files is None:
        raise FileNotFoundError(f"{root}: no annotations/instances*.json (COCO's layout)")
    records = read_coco(*files, classes or None)
    names = records[0].classes if records else tuple(classes)
    return TestData(records, lambda: COCOEvaluator(names), "AP")


def predict_records(
    model: SequenceModel,
    data: TestData,
    out: Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    world: Processes | None = None,
) -> dict[str, Path]:
    """Run a model over all videos; `{name: file}` of the predictions, one JSON file each.

    With `resume` videos whose file is there are left out. Of several processes each runs whole videos of its
    own and waits for the others; they write into one folder.
    """
    world = world or Processes()
    files = {record.name: out / "predictions" / f"{record.name}.json" for record in data.records}
    share = world.share(data.records, [record_frames(record) for record in data.records])
    images = all(record_frames(record) == 1 for record in share)
    for number, record in enumerate(share, 1):
        path = files[record.name]
        if progress is not None and images:
            progress("images", number, len(share))
        if resume and path.is_file():
            continue
        rows: list[Instances] = []
        protocol = data.protocol or stream_protocol
        for _, predicted in protocol(model, Video(open_record(record))):
            rows.append(predicted.to("cpu"))
            if progress is not None and not images:
                progress(record.name, len(rows), record_frames(record))
        write_predictions(path, rows)
    world.wait()
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
    """Boxes (xyxy), labels, scores, masks (RLE) and their scores of each frame.

    The file is complete or not there at all.
    """
    frames: list[dict[str, Any]] = [
        {
            "boxes": [[round(value, 3) for value in box] for box in item.boxes.tolist()],
            "labels": [] if item.labels is None else item.labels.tolist(),
            "scores": [] if item.scores is None else _rounded(item.scores),
            **({} if item.masks is None else {"masks": encode_masks(item.masks)}),
            **({} if item.mask_scores is None else {"mask_scores": _rounded(item.mask_scores)}),
        }
        for item in predictions
    ]
    write_json(path, frames)


def _rounded(scores: Tensor) -> list[float]:
    return [round(score, 6) for score in scores.tolist()]


def read_frames(path: Path) -> list[FrameDetections]:
    """What `write_predictions` wrote, as it stands in the file.

    Raises:
        DataError: another kind of file.
    """
    try:
        frames: list[FrameDetections] = json.loads(path.read_text(encoding="utf-8"))
        for frame in frames:
            if len({len(frame[key]) for key in ("boxes", "labels", "scores")}) != 1:
                raise ValueError("boxes, labels and scores of different numbers")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} holds no predictions: {error}") from error
    return frames


def read_predictions(path: Path) -> list[Instances]:
    """What `write_predictions` wrote.

    Raises:
        DataError: another kind of file.
    """
    try:
        return [_instances(frame).validate(str(path)) for frame in read_frames(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, DataError) else DataError(f"{path} holds no predictions: {error}") from error


def _instances(frame: FrameDetections) -> Instances:
    masks = frame.get("masks")
    return Instances(
        boxes=torch.tensor(frame["boxes"], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(frame["labels"], dtype=torch.int64),
        scores=torch.tensor(frame["scores"], dtype=torch.float32),
        masks=decode_masks(masks, (masks[0]["size"][0], masks[0]["size"][1])) if masks else None,
        mask_scores=torch.tensor(frame["mask_scores"], dtype=torch.float32) if "mask_scores" in frame else None,
    )
