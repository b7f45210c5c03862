"""evaluate: scores of predictions for any task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .mot import evaluate_mot
from .mot_detection import evaluate_mot_detections
from .vid_files import evaluate_vid
from .youtube_vis import evaluate_youtube_vis


def evaluate(ground_truth: Any, predictions: Any, task: str = "mot", **options: Any) -> Any:
    """Scores `predictions` against `ground_truth`; both may be files, folders, arrays or Instances.

    Args:
        task: 'mot' (see `evaluate_mot` for its options and what it gives), 'mot_detection'
            (see `evaluate_mot_detections`), 'vid' (see `evaluate_vid`) or 'vis' (see `evaluate_youtube_vis`).

    Raises:
        ValueError: another task, or invalid input.
        FileNotFoundError: a path that does not exist.
    """
    tasks: dict[str, Callable[..., Any]] = {
        "mot": evaluate_mot, "mot_detection": evaluate_mot_detections, "vid": evaluate_vid,
        "vis": evaluate_youtube_vis,
    }  # fmt: skip
    if task not in tasks:
        raise ValueError(f"unknown task '{task}': expected one of {', '.join(tasks)}")
    return tasks[task](ground_truth, predictions, **options)
