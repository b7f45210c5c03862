"""A tracker by name, and how it goes together with a detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiddle as fdl

from ..choose import Choice
from ..image.two_stage import RCNN
from ..models import build, get_config
from ..models import override as override_config
from ..sequence import SequenceModel
from ..video.deep_sort import DeepSORT, EagerDeepSORT
from ..video.reid import ReID
from ..video.track_region import Region
from ..video.tracking import PerClass, TrackByDetection, Tracker
from ..video.tracktor_model import Tracktor


def tracking_model(
    tracker: str | Tracker,
    choice: Choice,
    reid: ReID | None,
    labels: Sequence[int] | None,
    per_class: bool,
    region: Sequence[tuple[float, float]] | None,
    options: dict[str, Any],
) -> SequenceModel:
    """The detector with the tracker, whichever way they go together.

    Raises:
        TypeError: Tracktor with a detector of one stage.
        ValueError: a region or classes kept apart, which Tracktor does not take.
    """
    if not regresses(tracker):
        built = make_tracker(tracker, **options)
        return TrackByDetection(
            choice.detector,
            PerClass(built) if per_class else built,
            reid=reid,
            labels=labels,
            region=None if region is None else Region(region),
        ).eval()
    if per_class or region is not None:
        raise ValueError(f"'{tracker}' keeps classes apart by itself and takes no region")
    if not isinstance(choice.detector, RCNN):
        raise TypeError(
            f"'{tracker}' moves boxes by a second stage, and {type(choice.detector).__name__} has none: give "
            "a two-stage model, as --detector faster_rcnn_r50_fpn_1x_coco --checkpoint FILE"
        )
    config = get_config(str(tracker)).model
    for key, value in options.items():
        override_config(config.tracker, key, value)
    camera = None if config.camera is None else build(config.camera)
    return Tracktor(
        detector=choice.detector, tracker=build(config.tracker), reid=reid, camera=camera, labels=labels
    ).eval()


def regresses(tracker: str | Tracker) -> bool:
    """Whether a tracker by name is Tracktor, which needs the detector in the middle of an update."""
    if isinstance(tracker, Tracker):
        return False
    kind = fdl.get_callable(get_config(tracker).model)
    return isinstance(kind, type) and issubclass(kind, Tracktor)


def needs_reid(tracker: str | Tracker) -> bool:
    """Whether a tracker does not work without embeddings."""
    if isinstance(tracker, Tracker):
        return isinstance(tracker, DeepSORT | EagerDeepSORT)
    config = get_config(tracker).model
    return hasattr(config, "tracker") and fdl.get_callable(config.tracker) in (DeepSORT, EagerDeepSORT)


def make_tracker(tracker: str | Tracker, **options: Any) -> Tracker:
    """A tracker by the name of a config in configs/mot, with arguments changed; or one as it is.

    Raises:
        KeyError: an unknown name. TypeError: a config without a tracker of its own.
    """
    if isinstance(tracker, Tracker):
        return tracker
    config = get_config(tracker).model
    if not hasattr(config, "tracker"):
        raise TypeError(f"'{tracker}' is not a tracker for any detector; load it with vidperc.load")
    for key, value in options.items():
        override_config(config.tracker, key, value)
    built: Tracker = build(config.tracker)
    return built
