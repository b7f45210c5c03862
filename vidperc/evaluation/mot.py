"""Evaluation of multi-object tracking: any ground truth, any predictions, by the rules of their benchmark."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial

import numpy as np

from .formats import Source, read_tracks
from .rules import BDD100K_GROUPS, Rules, per_label, plain, rules_for, rules_named
from .scores import MOTCounts, MOTScores, scores_of
from .tracks import Tracks


def evaluate_mot(
    ground_truth: Source,
    predictions: Source,
    *,
    benchmark: str | None = None,
    classes: tuple[str, ...] | None = None,
) -> MOTScores:
    """HOTA, CLEAR and Identity scores of each sequence and over all.

    Args:
        ground_truth: files, folders, arrays or Instances, see `read_tracks`.
        predictions: the same. Sequences are paired by name; one of each is a pair whatever their names.
        benchmark: whose rules to apply; by default the ground truth's layout tells (see `rules_for`).
        classes: which classes to score; by default all of the benchmark. For `Instances`, the names of
            labels 0, 1, ..., which then are scored one by one; by default all objects are one class.

    A sequence without predictions counts as one in which nothing was found, with a warning. Predictions
    for a sequence without ground truth are left out, with a warning.

    Raises:
        ValueError: no sequence in common, or invalid rows; sequence, frame and id are named.
    """
    truth, tracks = read_tracks(ground_truth, truth=True), read_tracks(predictions, truth=False)
    rules = None if benchmark is None else rules_named(benchmark)
    tracks = paired(truth, tracks)
    counts = {name: count_sequence(truth[name], tracks[name], rules, classes) for name in truth}
    return scores_of(counts, groups_of(truth.values()))


def count_sequence(
    truth: Tracks, predictions: Tracks, rules: Rules | None = None, classes: tuple[str, ...] | None = None
) -> dict[str, MOTCounts]:
    """The counts of each class of one sequence, after checking both sides.

    Raises:
        ValueError: boxes that are not finite, frames outside the sequence, ids twice in a
            frame, or a class that the rules do not know.
    """
    truth.check(truth.length)
    predictions.check(truth.length)
    rules = rules or rules_for(truth)
    if rules is plain and classes is not None:
        rules = partial(per_label, classes=tuple(classes))
    sequences = rules(truth, predictions)
    unknown = set(classes or ()) - set(sequences)
    if unknown:
        raise ValueError(f"unknown classes {', '.join(sorted(unknown))}: expected some of {', '.join(sequences)}")
    return {name: MOTCounts.of(sequences[name]) for name in classes or sequences}


def groups_of(truths: Iterable[Tracks]) -> dict[str, tuple[str, ...]]:
    """Super-categories, where the layout has them."""
    return BDD100K_GROUPS if any(truth.layout == "scalabel" for truth in truths) else {}


def paired(truth: dict[str, Tracks], tracks: dict[str, Tracks]) -> dict[str, Tracks]:
    """Predictions for every sequence of the ground truth, with a warning where they are missing or left out.

    Raises:
        ValueError: no ground truth, or no sequence in common.
    """
    if not truth:
        raise ValueError("no ground truth to evaluate against")
    if len(truth) == 1 and len(tracks) == 1:
        return dict(zip(truth, tracks.values()))
    if not set(truth) & set(tracks):
        raise ValueError(f"no sequence in common: ground truth of {_names(truth)}, predictions of {_names(tracks)}")
    missing, extra = [name for name in truth if name not in tracks], [name for name in tracks if name not in truth]
    if missing:
        warnings.warn(f"no predictions for {_names(missing)}: counted as nothing found", stacklevel=3)
    if extra:
        warnings.warn(f"no ground truth for {_names(extra)}: these predictions are left out", stacklevel=3)
    return {name: tracks.get(name) or _nothing(truth[name]) for name in truth}


def _nothing(truth: Tracks) -> Tracks:
    labels = None if truth.labels is None else np.zeros(0, truth.labels.dtype)
    return Tracks(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 4)), labels=labels, name=truth.name)


def _names(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
