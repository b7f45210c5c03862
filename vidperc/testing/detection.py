"""Testing detectors on images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine.detection import predict_records, process_records, read_frames, score_records
from ..engine.experiment import TestData
from ..engine.image_sets import ImageSet, find_images
from ..engine.test import chosen_records
from ..export.detections import coco_rows, scalabel_frames, write_coco_results, write_scalabel
from ..image.two_stage import RPN
from ..models import build, get_config, load
from ..sequence import SequenceModel
from .run import Outcome, Run, scored


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
    data = build(config.test_data)
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
