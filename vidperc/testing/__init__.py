"""Testing a model by name on a data set, for every task: what `tools/test.py` calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..engine.processes import processes
from ..evaluation.coco import Backend
from ..models import get_config
from ..sequence import Precision
from .detection import test_detection
from .mot import test_mot
from .run import Outcome, Progress, ResultFormat, Run, note_settings
from .segmentation import test_segmentation
from .sot import test_sot
from .video_detection import test_video_detection

DEFAULTS = {
    "det": "tiny_det",
    "vid": "tiny_fgfa",
    "mot": "bytetrack_tiny_det",
    "sot": "tiny_siamese_rpn",
    "vis": "tiny_vis",
}
RUNNERS: dict[str, Callable[[Run], Outcome]] = {
    "mot": test_mot,
    "det": test_detection,
    "vid": test_video_detection,
    "sot": test_sot,
    "vis": test_segmentation,
}


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
        resume: leave out sequences whose results are there already, made by the same model.
        half: "train" or "val", for tracking: only the first or the second half of every sequence, renumbered.
        refinement: "linear", "gaussian" or "kalman", for tracking: refine the results, in `out/refined`.
        format_only: write results and the submission, no scores.
        result_format: of image detectors' result files; by default that of the data set.
        coco: what counts COCO's scores of image detectors; "faster" needs faster-coco-eval.
        checkpoint, device, precision, overrides: as for `vidperc.load`.

    Raises:
        ValueError: neither a name nor a task, or a task without a default; results to resume that another model
            made. FileNotFoundError: the data.
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
        if world.rank == 0:
            settings = {
                "model": name, "checkpoint": checkpoint, "precision": precision, "options": overrides or None,
                "data": None if data_root is None else Path(data_root).resolve(), "half": half,
            }  # fmt: skip
            note_settings(run.out, settings, resume)
        return RUNNERS[of](run)
