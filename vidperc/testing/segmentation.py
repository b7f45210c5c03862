"""Testing video instance segmentation."""

from __future__ import annotations

import json

from ..engine.segmentation import (
    SegmentationData,
    find_segmentation,
    read_entries,
    score_segmentation,
    segment_records,
    table_of,
)
from ..engine.test import chosen_records
from ..evaluation.vis import VISScores
from ..export.youtube_vis import write_youtube_vis
from ..models import build, get_config, load
from .run import Outcome, Run


def test_segmentation(run: Run) -> Outcome:
    """Video instance segmentation on YouTube-VIS, OVIS or DAVIS, or on the config's own (synthetic) videos.

    Writes one file of results per video, and `results.zip` as the servers take it.
    """
    config = get_config(run.name)
    if run.data_root is not None:
        data = find_segmentation(run.data_root, config.classes)
    elif config.test_data is not None:
        data = SegmentationData.of(build(config.test_data).records, config.classes)
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
