"""What each benchmark leaves out before its sequences are scored.

A rule is a function of ground truth and predictions of one sequence that gives the `MOTSequence` of every
class that is scored. Matching "at 0.5" means: one to one, largest sum of IoU, only pairs with IoU >= 0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .metrics.matching import EPS, Pairs, assign, box_pairs, covered, mask_pairs, masks_covered
from .metrics.sequence import MOTSequence, ScoredRows
from .scalabel import BDD100K_CLASSES
from .tracks import Tracks

Rules = Callable[[Tracks, Tracks], dict[str, MOTSequence]]

MOT_CLASSES = {  # of MOT16, MOT17 and MOT20 (Milan et al. 2016, https://arxiv.org/abs/1603.00831, table 3)
    **{1: "pedestrian", 2: "person on vehicle", 3: "car", 4: "bicycle", 5: "motorbike", 6: "non-motorised vehicle"},
    **{7: "static person", 8: "distractor", 9: "occluder", 10: "occluder on the ground", 11: "occluder full"},
    **{12: "reflection", 13: "crowd"},
}
KITTI_NEIGHBOURS = {"car": ("van",), "pedestrian": ("person", "person_sitting")}  # class: distractors
KITTI_MAX_OCCLUSION, KITTI_MAX_TRUNCATION, KITTI_MIN_HEIGHT = 2, 0, 25
BDD100K_GROUPS = {
    "HUMAN": ("pedestrian", "rider"),
    "VEHICLE": ("car", "truck", "bus", "train"),
    "BIKE": ("motorcycle", "bicycle"),
}


def plain(truth: Tracks, predictions: Tracks) -> dict[str, MOTSequence]:
    """All objects as one class. Predictions matched at 0.5 to ignored objects, then these, are left out."""
    ignored = np.zeros(len(truth), bool) if truth.ignored is None else truth.ignored
    return {"object": _without(truth, predictions, ignored, ~ignored)}


def per_label(truth: Tracks, predictions: Tracks, classes: tuple[str, ...]) -> dict[str, MOTSequence]:
    """`plain` for each label by itself; label i is `classes[i]`.

    Raises:
        ValueError: boxes without labels.
    """
    return {
        name: plain(truth[_labelled(truth, i)], predictions[_labelled(predictions, i)])["object"]
        for i, name in enumerate(classes)
    }


def _labelled(tracks: Tracks, label: int | str) -> np.ndarray:
    if tracks.labels is None:
        if len(tracks):
            raise ValueError(f"{tracks.source}, sequence '{tracks.name}': classes are scored, but boxes have no labels")
        return np.zeros(0, bool)
    return np.asarray(tracks.labels == label)


def mot15(truth: Tracks, predictions: Tracks) -> dict[str, MOTSequence]:
    """MOT15: rows of the ground truth marked 0 are left out, nothing else."""
    kept = np.ones(len(truth), bool) if truth.ignored is None else ~truth.ignored
    pairs = _overlaps(truth, predictions)
    return {"pedestrian": _build(truth, predictions, pairs, kept, np.ones(len(predictions), bool))}


def mot17(truth: Tracks, predictions: Tracks) -> dict[str, MOTSequence]:
    """MOT16 and MOT17: predictions matched at 0.5 to a person on a vehicle, a static person, a distractor
    or a reflection are left out; then all rows but those of pedestrians not marked 0.

    Raises:
        ValueError: a class outside 1 to 13.
    """
    return _mot_challenge(truth, predictions, (2, 7, 8, 12))


def mot20(truth: Tracks, predictions: Tracks) -> dict[str, MOTSequence]:
    """MOT20: as MOT17, with non-motorised vehicles among the distractors."""
    return _mot_challenge(truth, predictions, (2, 6, 7, 8, 12))


def _mot_challenge(truth: Tracks, predictions: Tracks, distractors: tuple[int, ...]) -> dict[str, MOTSequence]:
    labels = np.ones(len(truth), np.int64) if truth.labels is None else truth.labels
    unknown = ~np.isin(labels, list(MOT_CLASSES))
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ValueError(
            f"{truth.source}, frame {truth.frames[row] + truth.first}, id {truth.ids[row]}: "
            f"expected a class from 1 to 13, got {labels[row]}"
        )
    ignored = np.zeros(len(truth), bool) if truth.ignored is None else truth.ignored
    return {"pedestrian": _without(truth, predictions, np.isin(labels, distractors), (labels == 1) & ~ignored)}


def kitti(truth: Tracks, predictions: Tracks) -> dict[str, MOTSequence]:
    """KITTI: cars and pedestrians.

    Vans (for cars), sitting persons (for pedestrians), truncated and fully occluded objects are left out
    together with the predictions matched to them at 0.5. Unmatched predictions are left out that are at
    most 25 pixels high or lie with more than half their area in a DontCare region.
    """
    return {name: _kitti_class(truth, predictions, name) for name in KITTI_NEIGHBOURS}


def _kitti_class(truth: Tracks, predictions: Tracks, name: str) -> MOTSequence:
    if truth.labels is None or truth.occlusions is None or truth.truncations is None:
        raise ValueError(f"{truth.source}: KITTI's rules need its classes, occlusions and truncations")
    truth = truth[np.isin(truth.labels, (name, *KITTI_NEIGHBOURS[name]))]
    predictions = predictions[_labelled(predictions, name)]
    hidden = (truth.occlusions > KITTI_MAX_OCCLUSION) | (truth.truncations > KITTI_MAX_TRUNCATION)  # type: ignore[operator]
    scored = _labelled(truth, name) & ~hidden
    pairs = _overlaps(truth, predictions)
    matches = _matches_at_half(pairs, truth, predictions)
    kept = _in_no_region(truth, predictions) & (predictions.boxes[:, 3] - predictions.boxes[:, 1] > KITTI_MIN_HEIGHT)
    kept[matches.prediction] = scored[matches.truth]
    return _build(truth, predictions, pairs, scored, kept)


def bdd100k(truth: Tracks, predictions: Tracks) -> dict[str, MOTSequence]:
    """BDD100K: eight classes; unmatched predictions (at 0.5) that lie with more than half their area in a
    region (a crowd, or an object of another class) are left out. Masks are compared where both sides have
    them, else boxes whose last pixel belongs to them, as in Scalabel: x2 - x1 + 1 pixels wide.
    """
    truth, predictions = _with_last_pixel(truth), _with_last_pixel(predictions)
    return {name: _bdd100k_class(truth, predictions, name) for name in BDD100K_CLASSES}


def _bdd100k_class(truth: Tracks, predictions: Tracks, name: str) -> MOTSequence:
    truth, predictions = truth[_labelled(truth, name)], predictions[_labelled(predictions, name)]
    pairs = _overlaps(truth, predictions)
    kept = _in_no_region(truth, predictions)
    kept[_matches_at_half(pairs, truth, predictions).prediction] = True
    return _build(truth, predictions, pairs, np.ones(len(truth), bool), kept)


def _with_last_pixel(tracks: Tracks) -> Tracks:
    regions = None if tracks.regions is None else _with_last_pixel(tracks.regions)
    return replace(tracks, boxes=tracks.boxes + np.array([0.0, 0.0, 1.0, 1.0]), regions=regions)


def _overlaps(truth: Tracks, predictions: Tracks) -> Pairs:
    if truth.masks is not None and predictions.masks is not None:
        return mask_pairs(truth.frames, truth.masks.tolist(), predictions.frames, predictions.masks.tolist())
    return box_pairs(truth.frames, truth.boxes, predictions.frames, predictions.boxes)


def _matches_at_half(pairs: Pairs, truth: Tracks, predictions: Tracks) -> Pairs:
    near = pairs[pairs.similarity >= 0.5 - EPS]
    return near[assign(near, near.similarity, truth.frames, predictions.frames)]


def _in_no_region(truth: Tracks, predictions: Tracks) -> np.ndarray:
    """(P,) bool: which predictions do not lie in a region of the ground truth."""
    regions = truth.regions
    if regions is None or len(regions) == 0:
        return np.ones(len(predictions), bool)
    if regions.masks is not None and predictions.masks is not None:
        masks, areas = predictions.masks.tolist(), regions.masks.tolist()
        return ~masks_covered(predictions.frames, masks, regions.frames, areas)
    return ~covered(predictions.frames, predictions.boxes, regions.frames, regions.boxes)


def _without(truth: Tracks, predictions: Tracks, removing: np.ndarray, scored: np.ndarray) -> MOTSequence:
    """Leaves out the predictions matched to ground truth marked `removing`, then keeps the `scored` rows."""
    pairs = _overlaps(truth, predictions)
    kept = np.ones(len(predictions), bool)
    if removing.any():
        matches = _matches_at_half(pairs, truth, predictions)
        kept[matches.prediction[removing[matches.truth]]] = False
    return _build(truth, predictions, pairs, scored, kept)


def _build(truth: Tracks, predictions: Tracks, pairs: Pairs, scored: np.ndarray, kept: np.ndarray) -> MOTSequence:
    sequence = MOTSequence.build(
        truth.frames[scored],
        truth.ids[scored],
        predictions.frames[kept],
        predictions.ids[kept],
        pairs.subset(scored, kept),
        max(truth.num_frames, predictions.num_frames),
    )
    rows = ScoredRows(truth.boxes[scored], truth.ids[scored], predictions.boxes[kept], predictions.ids[kept])
    return replace(sequence, rows=rows)


def rules_named(name: str) -> Rules:
    """The rules of a benchmark: MOT15, MOT16, MOT17, MOT20, KITTI, BDD100K, or plain for none.

    Raises:
        ValueError: another name.
    """
    known: dict[str, Rules] = {
        **{"MOT15": mot15, "MOT16": mot17, "MOT17": mot17, "MOT20": mot20},
        **{"KITTI": kitti, "BDD100K": bdd100k, "PLAIN": plain},
    }
    if name.upper() not in known:
        raise ValueError(f"unknown benchmark '{name}': expected one of {', '.join(known)}")
    return known[name.upper()]


def rules_for(truth: Tracks) -> Rules:
    """The rules that the layout of the ground truth, and for MOT20 the name of the sequence, tell."""
    if truth.layout == "mot":
        return mot20 if truth.name.upper().startswith("MOT20") else mot17
    return {"mot15": mot15, "kitti": kitti, "scalabel": bdd100k}.get(truth.layout, plain)
