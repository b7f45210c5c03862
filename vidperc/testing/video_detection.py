"""Testing detectors on videos."""

from __future__ import annotations

from functools import partial

from ..engine.detection import predict_records, process_records
from ..engine.test import chosen_records
from ..engine.video_detection import find_vid, write_coco_results
from ..evaluation.vid import VIDEvaluator
from ..models import build, get_config, load
from .run import Outcome, Run


def test_video_detection(run: Run) -> Outcome:
    """Video detectors on ImageNet VID, on a data set in CocoVID's layout, or on the config's own (synthetic) videos.

    Writes one file of predictions per video, and `results.json` in COCO's form.
    """
    config = get_config(run.name)
    if run.data_root is not None:
        data = find_vid(run.data_root, config.classes)
    elif config.test_data is not None:
        data = build(config.test_data)
        data.evaluator = partial(VIDEvaluator, config.classes)
    else:
        raise ValueError(f"'{run.name}' has no test data of its own: give --data-root, with ImageNet VID or CocoVID")
    data.records = chosen_records(data.records, run.sequences)
    model = load(run.name, **run.model_options)
    files = predict_records(model, data, run.out, resume=run.resume, progress=run.progress, world=run.world)
    if run.world.rank:
        return Outcome()
    results = write_coco_results(run.out / "results.json", files, config.classes)
    if run.format_only:
        return Outcome(written=[run.out / "predictions", results])
    evaluator = process_records(data, files)
    assert isinstance(evaluator, VIDEvaluator)
    scores = evaluator.scores()
    scores.to_json(run.out / "scores.json")
    return Outcome(scores, scores.table(), [run.out / "predictions", results, run.out / "scores.json"])
