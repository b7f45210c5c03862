"""Testing trackers of many objects."""

from __future__ import annotations

import fiddle as fdl

from ..engine.mot import MOTRecord, find_sequences, half_sequence, run_sequences, score_sequences, synthetic_sequences
from ..export.motchallenge import write_submission
from ..models import load
from ..refine_files import refine_file
from ..video.motion import MotionDetector
from ..video.tracking import GivenDetections
from .run import Outcome, Run


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
