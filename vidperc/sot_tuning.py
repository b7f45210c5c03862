"""Search for a siamese tracker's settings on a benchmark: what `tools/tune.py` does for single-object trackers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fiddle as fdl
import numpy as np

from .engine.sot import EveryFrame, find_sot, truth_of
from .engine.test import chosen_records
from .evaluation.sot import sequence_curves
from .models import get_config, load
from .structures import Video, VideoRecord
from .video.siamrpn import SiamRPN
from .video.siamrpn_anchors import Postprocessor
from .video.siamrpn_tuning import Trial, grid, tune

SETTINGS = ("penalty", "window_influence", "size_rate")


def tune_siamese(
    name: str,
    data_root: str | Path | None = None,
    values: Mapping[str, Sequence[float]] | None = None,
    *,
    sequences: Sequence[str] | None = None,
    confirm: int = 5,
    progress: Callable[[int, int], None] | None = None,
    **model_options: Any,
) -> list[Trial]:
    """Settings by their mean success (area under the curve) over the videos, best first.

    Args:
        name: config of a SiamRPN.
        data_root: a benchmark's folder, with truth; None takes the config's validation videos.
        values: of `penalty`, `window_influence` and `size_rate`, all combinations of which are tried; what is left
            out stays as it is. By default five values each.
        sequences: only these.
        confirm: how many of the best are run in full.
        progress: see `vidperc.video.siamrpn_tuning.tune`.
        model_options: checkpoint, device, precision ... as for `vidperc.load`.

    Raises:
        ValueError: no SiamRPN, another setting, or no data. FileNotFoundError: the data.
    """
    if not issubclass(fdl.get_callable(get_config(name).model), SiamRPN):  # type: ignore[arg-type]
        raise ValueError(f"'{name}' is no SiamRPN: its boxes do not depend on {', '.join(SETTINGS)}")
    unknown = sorted(set(values or ()) - set(SETTINGS))
    if unknown:
        raise ValueError(f"settings of a siamese tracker are {', '.join(SETTINGS)}, not {', '.join(unknown)}")
    records = _records(name, data_root, sequences)
    model: Any = load(name, **model_options)
    truths = [truth_of(record) for record in records]

    def success(number: int, boxes: np.ndarray) -> float:
        return float(sequence_curves(truths[number], boxes)[0].mean())

    videos = [Video(EveryFrame(record), prompt=truth.boxes[0].tolist()) for record, truth in zip(records, truths)]
    known = [np.where(truth.seen[:, None], truth.boxes, np.nan) for truth in truths]
    return tune(model, videos, known, success, settings_to_try(model.postprocessor, values), confirm, progress)


def settings_to_try(own: Postprocessor, values: Mapping[str, Sequence[float]] | None) -> list[Postprocessor]:
    """All combinations of `values`; what they leave out stays as a model's `own`. Without values, a grid."""
    if not values:
        return grid()
    lists = [values.get(name) or [getattr(own, name)] for name in SETTINGS]
    return [Postprocessor(*(float(value) for value in each)) for each in itertools.product(*lists)]


def _records(name: str, data_root: str | Path | None, sequences: Sequence[str] | None) -> list[VideoRecord]:
    if data_root is not None:
        records = find_sot(data_root).records
    else:
        config = get_config(name)
        if config.validation_data is None:
            raise ValueError(f"'{name}' has no validation videos of its own: give a benchmark's folder")
        records = list(fdl.build(config.validation_data).records)
    return chosen_records(records, sequences)
