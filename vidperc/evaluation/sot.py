"""One-pass evaluation of single-object tracking: success, precision, normalised precision, AO and SR.

Success and precision as OTB (Wu et al., PAMI 2015) defines them, normalised precision as TrackingNet
(https://arxiv.org/abs/1803.10794) and LaSOT (https://arxiv.org/abs/1809.07845) do, AO and SR as GOT-10k
(https://arxiv.org/abs/1810.11981). Frames without annotation do not count. In those in which the object is absent no
box can be right: as the published numbers on LaSOT and UAV123 have it, they are misses; GOT-10k leaves them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..structures import Instances, VideoRecord

OVERLAPS = np.linspace(0, 1, 21)
PIXELS = np.arange(0, 51, dtype=float)
FRACTIONS = np.linspace(0, 0.5, 51)


@dataclass(slots=True)
class SOTTruth:
    """The object of one video."""

    boxes: np.ndarray  # (T, 4) xyxy; of the frames in which it is seen
    seen: np.ndarray  # (T,) bool
    absent: np.ndarray  # (T,) bool, known not to be seen; neither: not annotated
    size: tuple[int, int] | None = None  # (height, width)
    category: str = ""
    tags: tuple[str, ...] = ()

    @staticmethod
    def of(record: VideoRecord) -> SOTTruth:
        """The truth of a record with one object.

        Raises:
            ValueError: a frame with several objects.
        """
        length = record.length or (len(record.frames) if record.frames is not None else 0)
        objects = [record.instances.get(index) for index in range(length)]
        for index, each in enumerate(objects):
            if each is not None and len(each) > 1:
                raise ValueError(f"{record.name}, frame {index}: {len(each)} objects, single-object truth has one")
        truth = SOTTruth.of_frames(objects)
        truth.absent |= np.asarray(record.attributes.get("absent", np.zeros(length, bool))) & ~truth.seen
        tags = record.attributes.get("tags", ())
        names = tuple(str(tag) for tag in tags) if isinstance(tags, (list, tuple)) else ()
        return replace(truth, size=record.size, category=str(record.attributes.get("category", "")), tags=names)

    @staticmethod
    def of_frames(objects: Sequence[Instances | None]) -> SOTTruth:
        """The truth of frames by the first object of each; it is absent where there is none or an ignored one.

        None is a frame without annotation.
        """
        boxes, seen, absent = np.zeros((len(objects), 4)), np.zeros(len(objects), bool), np.zeros(len(objects), bool)
        for index, each in enumerate(objects):
            if each is None:
                continue
            seen[index] = len(each) > 0 and not (each.ignored is not None and bool(each.ignored[0]))
            absent[index] = not seen[index]
            if seen[index]:
                boxes[index] = each.boxes[0].double().numpy()
        return SOTTruth(boxes, seen, absent)


@dataclass(slots=True)
class SOTScores:
    """Scores in [0, 1] with the curves behind them, means over the sequences.

    `success` is the area under the success curve, `precision` the share of frames with a centre error of at
    most 20 pixels, `normalised_precision` that of at most 0.2 of the object's size, and
    `normalised_precision_auc` the area under that curve up to 0.5, which TrackingNet reports.
    """

    success: float
    precision: float
    normalised_precision: float
    normalised_precision_auc: float
    success_curve: np.ndarray  # (21,) over OVERLAPS
    precision_curve: np.ndarray  # (51,) over PIXELS
    normalised_curve: np.ndarray  # (51,) over FRACTIONS
    sequences: dict[str, dict[str, float]]  # the same by sequence

    def as_dict(self) -> dict[str, float]:
        """The four numbers by name."""
        names = ("success", "precision", "normalised_precision", "normalised_precision_auc")
        return {name: getattr(self, name) for name in names}


def boxes_of(predictions: Sequence[Instances], row: int = 0) -> np.ndarray:
    """(T, 4) xyxy of one object of a stream's results."""
    return np.stack([result.boxes[row].double().cpu().numpy() for result in predictions])


def paired_overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union (T,) of boxes (T, 4) xyxy with their counterparts; 0 where nothing has an area."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    total = sum(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1) for boxes in (first, second)) - shared
    return np.where(total > 0, shared / np.maximum(total, 1e-12), 0.0)


def center_errors(predicted: np.ndarray, truth: np.ndarray, *, normalised: bool = False) -> np.ndarray:
    """Distance (T,) between the centres of boxes (T, 4) xyxy, in pixels or in widths and heights of the truth."""
    offset = (predicted[:, :2] + predicted[:, 2:] - truth[:, :2] - truth[:, 2:]) / 2
    if normalised:
        offset = offset / np.maximum(truth[:, 2:] - truth[:, :2], 1e-12)
    return np.linalg.norm(offset, axis=1)


def success_curve(overlaps: np.ndarray) -> np.ndarray:
    """(21,) share of frames whose overlap is above each of OVERLAPS."""
    return (overlaps[:, None] > OVERLAPS).mean(0)


def precision_curve(errors: np.ndarray, thresholds: np.ndarray = PIXELS) -> np.ndarray:
    """Share of frames whose error is at most each threshold."""
    return (errors[:, None] <= thresholds).mean(0)


def sequence_curves(truth: SOTTruth, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curves of success (21,), precision (51,) and normalised precision (51,) of boxes (T, 4) xyxy of one video."""
    given, wanted = predicted[truth.seen], truth.boxes[truth.seen]
    share = len(wanted) / (truth.seen | truth.absent).sum()
    return (
        share * success_curve(paired_overlaps(given, wanted)),
        share * precision_curve(center_errors(given, wanted)),
        share * precision_curve(center_errors(given, wanted, normalised=True), FRACTIONS),
    )


def evaluate_ope(truth: Mapping[str, SOTTruth], predictions: Mapping[str, np.ndarray]) -> SOTScores:
    """Scores of one pass over each video, the first frame included.

    Args:
        truth: by sequence.
        predictions: (T, 4) xyxy by sequence.

    Raises:
        ValueError: a sequence without predictions, of another length, or with values that are not finite.
    """
    curves = {
        name: sequence_curves(wanted, given) for name, wanted, given in _pairs(truth, predictions) if wanted.seen.any()
    }
    if not curves:
        raise ValueError("single-object evaluation: no frames with an object")
    means = [np.mean(column, axis=0) for column in zip(*curves.values())]
    return SOTScores(**_numbers(*means), success_curve=means[0], precision_curve=means[1], normalised_curve=means[2],
                     sequences={name: _numbers(*each) for name, each in curves.items()})  # fmt: skip


def _numbers(success: np.ndarray, precision: np.ndarray, normalised: np.ndarray) -> dict[str, float]:
    return {
        "success": float(success.mean()),
        "precision": float(precision[20]),
        "normalised_precision": float(normalised[20]),
        "normalised_precision_auc": float(normalised.mean()),
    }


def by_tag(truth: Mapping[str, SOTTruth], scores: SOTScores) -> dict[str, dict[str, float]]:
    """Mean scores of the sequences that have each attribute."""
    tags = sorted({tag for each in truth.values() for tag in each.tags})
    out = {}
    for tag in tags:
        rows = [scores.sequences[name] for name, each in truth.items() if tag in each.tags and name in scores.sequences]
        if rows:
            out[tag] = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return out


def evaluate_got10k(truth: Mapping[str, SOTTruth], predictions: Mapping[str, np.ndarray]) -> dict[str, float]:
    """AO, SR50 and SR75 over all frames but the first of each video in which the object is seen.

    Boxes are cut to the picture as the benchmark's toolkit does it: a corner left of it or above is moved into it,
    and the box with it; what then sticks out at the right or below is cut off.
    Where categories are known also mAO, mSR50 and mSR75, means over them.

    Raises:
        ValueError: see `evaluate_ope`.
    """
    overlaps: dict[str, np.ndarray] = {}
    for name, wanted, given in _pairs(truth, predictions):
        boxes, mine = wanted.boxes, given
        if wanted.size is not None:
            boxes, mine = _moved_inside(boxes, wanted.size), _moved_inside(mine, wanted.size)
        rows = wanted.seen.copy()
        rows[0] = False
        overlaps[name] = paired_overlaps(mine[rows], boxes[rows])
    pooled = np.concatenate(list(overlaps.values()))
    if not len(pooled):
        raise ValueError("GOT-10k: no frames with an object after the first ones")
    out = {"AO": pooled.mean(), "SR50": (pooled > 0.5).mean(), "SR75": (pooled > 0.75).mean()}
    kinds = sorted({truth[name].category for name in overlaps})
    if any(kinds):
        groups = [np.concatenate([overlaps[n] for n in overlaps if truth[n].category == kind]) for kind in kinds]
        groups = [group for group in groups if len(group)]
        out["mAO"] = np.mean([group.mean() for group in groups])
        out["mSR50"] = np.mean([(group > 0.5).mean() for group in groups])
        out["mSR75"] = np.mean([(group > 0.75).mean() for group in groups])
    return {name: float(value) for name, value in out.items()}


def _moved_inside(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (T, 4) xyxy inside of a picture of `size` (height, width); see `evaluate_got10k`."""
    limit = np.array([size[1], size[0]], dtype=float)
    corner = np.clip(boxes[:, :2], 0, limit)
    return np.concatenate([corner, corner + np.clip(boxes[:, 2:] - boxes[:, :2], 0, limit - corner)], 1)


def _pairs(
    truth: Mapping[str, SOTTruth], predictions: Mapping[str, np.ndarray]
) -> list[tuple[str, SOTTruth, np.ndarray]]:
    """Every sequence with its checked predictions."""
    out = []
    for name, wanted in truth.items():
        if name not in predictions:
            raise ValueError(f"sequence '{name}': no predictions")
        given = np.asarray(predictions[name], dtype=float)
        if given.shape != wanted.boxes.shape:
            raise ValueError(f"sequence '{name}': {given.shape} predictions for truth {wanted.boxes.shape}")
        if not np.isfinite(given).all():
            row = int((~np.isfinite(given).all(1)).nonzero()[0][0])
            raise ValueError(f"sequence '{name}', frame {row}: the predicted box is not finite: {given[row].tolist()}")
        out.append((name, wanted, given))
    return out


def plot_curves(scores: Mapping[str, SOTScores], path: str | Path, title: str = "") -> Path:
    """Success, precision and normalised precision of several trackers beside each other, as a picture file.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    panels = [
        ("Success", "overlap", OVERLAPS, "success_curve", "success"),
        ("Precision", "centre error, pixels", PIXELS, "precision_curve", "precision"),
        ("Normalised precision", "centre error / size", FRACTIONS, "normalised_curve", "normalised_precision"),
    ]
    for axes, (name, label, thresholds, curve, number) in zip(figure.subplots(1, 3), panels):
        for tracker, each in sorted(scores.items(), key=lambda item: -getattr(item[1], number)):
            axes.plot(thresholds, getattr(each, curve), label=f"{tracker} [{getattr(each, number):.3f}]")
        axes.set(title=name, xlabel=label, ylabel="share of frames", ylim=(0, 1), xlim=(0, thresholds[-1]))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    return Path(path)
