"""Random multi-object scenes with imperfect tracks, and the reference implementations run on them."""

from __future__ import annotations

import contextlib
import io
from types import SimpleNamespace

import numpy as np

from vidperc.evaluation.metrics import MOTSequence, box_pairs


def random_scene(seed=0, frames=60, objects=12, miss=0.15, switch=0.02, false=1.0, size=600.0, noise=6.0, quantise=0):
    """Boxes of moving objects that come and go, and tracks that are noisy, gap, swap ids and invent boxes.

    Returns a namespace of flat arrays sorted by frame: truth_frames, truth_ids, truth_boxes,
    prediction_frames, prediction_ids, prediction_boxes, length.
    """
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, size, (objects, 2))
    speed = rng.normal(0, size / 200, (objects, 2))
    extent = rng.uniform(size / 15, size / 6, (objects, 2))
    born = rng.integers(0, max(1, frames // 4), objects)
    died = rng.integers(frames // 2, frames + 1, objects)
    frame, identity = np.nonzero((np.arange(frames)[:, None] >= born) & (np.arange(frames)[:, None] < died))
    corner = start[identity] + speed[identity] * frame[:, None]
    boxes = np.concatenate([corner, corner + extent[identity]], 1)

    changes = np.cumsum(rng.random((frames, objects)) < switch, 0)[frame, identity]
    track = identity * 1000 + changes + 17
    seen = rng.random(len(frame)) > miss
    n_false = int(false * frames)
    false_corner = rng.uniform(0, size, (n_false, 2))
    false_boxes = np.concatenate([false_corner, false_corner + rng.uniform(size / 15, size / 6, (n_false, 2))], 1)
    prediction_frames = np.concatenate([frame[seen], rng.integers(0, frames, n_false)])
    prediction_ids = np.concatenate([track[seen], 10**6 + np.arange(n_false) // 3 * 3 + np.arange(n_false) % 3])
    prediction_boxes = np.concatenate([boxes[seen] + rng.normal(0, noise, (int(seen.sum()), 4)), false_boxes])
    order = np.argsort(prediction_frames, kind="stable")
    if quantise:
        boxes, prediction_boxes = (np.round(b / quantise) * quantise for b in (boxes, prediction_boxes))
    return SimpleNamespace(
        truth_frames=frame,
        truth_ids=identity,
        truth_boxes=boxes,
        prediction_frames=prediction_frames[order],
        prediction_ids=prediction_ids[order],
        prediction_boxes=prediction_boxes[order],
        length=frames,
    )


def sequence_of(scene):
    """The scene as the metrics take it."""
    pairs = box_pairs(scene.truth_frames, scene.truth_boxes, scene.prediction_frames, scene.prediction_boxes)
    return MOTSequence.build(
        scene.truth_frames, scene.truth_ids, scene.prediction_frames, scene.prediction_ids, pairs, scene.length
    )


def trackeval_data(sequence):
    """A MOTSequence as the dictionary of per-frame lists that TrackEval's metrics read."""
    data = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for t in range(sequence.length):
        truth = np.flatnonzero(sequence.truth_frames == t)
        prediction = np.flatnonzero(sequence.prediction_frames == t)
        matrix = np.zeros((len(truth), len(prediction)))
        here = sequence.truth_frames[sequence.pairs.truth] == t
        if here.any():
            rows = sequence.pairs.truth[here] - truth[0]
            matrix[rows, sequence.pairs.prediction[here] - prediction[0]] = sequence.pairs.similarity[here]
        data["gt_ids"].append(sequence.truth_ids[truth])
        data["tracker_ids"].append(sequence.prediction_ids[prediction])
        data["similarity_scores"].append(matrix)
    data |= {
        "num_gt_dets": sequence.num_truth,
        "num_tracker_dets": sequence.num_predictions,
        "num_gt_ids": sequence.num_truth_ids,
        "num_tracker_ids": sequence.num_prediction_ids,
        "num_timesteps": sequence.length,
        "seq": "sequence",
    }
    return data


def trackeval_metrics():
    """TrackEval's own HOTA, CLEAR and Identity."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    with contextlib.redirect_stdout(io.StringIO()):
        return [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]


def trackeval_scores(sequences):
    """Per sequence and combined: TrackEval's fields in one dictionary each, keyed by name and 'COMBINED'."""
    out = {name: {} for name in [*sequences, "COMBINED"]}
    data = {name: trackeval_data(sequence) for name, sequence in sequences.items()}
    for metric in trackeval_metrics():
        with contextlib.redirect_stdout(io.StringIO()):
            results = {name: metric.eval_sequence(value) for name, value in data.items()}
        for name, result in results.items():
            out[name] |= result
        out["COMBINED"] |= metric.combine_sequences(results)
    return out


FIELDS = {
    **{name: name for name in ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr", "OWTA")},
    **{name: name for name in ("MOTA", "MOTP", "MODA", "MOTAL", "sMOTA", "IDSW", "Frag", "MT", "PT", "ML")},
    **{name: name for name in ("IDF1", "IDP", "IDR", "IDTP", "IDFP", "IDFN")},
    "Recall": "CLR_Re",
    "Precision": "CLR_Pr",
    "FAR": "FP_per_frame",
    "TP": "CLR_TP",
    "FP": "CLR_FP",
    "FN": "CLR_FN",
}  # our names to TrackEval's


def _accumulate(sequence):
    import motmetrics

    accumulator = motmetrics.MOTAccumulator()
    data = trackeval_data(sequence)
    for t, similarity in enumerate(data["similarity_scores"]):
        distance = np.where(similarity >= 0.5, 1 - similarity, np.nan)
        accumulator.update(data["gt_ids"][t], data["tracker_ids"][t], distance, frameid=t)
    return accumulator


def motmetrics_scores(sequence, names):
    """motmetrics' values of the metrics `names` (it gives MOTP as a mean distance)."""
    import motmetrics

    summary = motmetrics.metrics.create().compute(_accumulate(sequence), metrics=names, name="x")
    return summary.loc["x"].to_dict()


def motmetrics_matches(sequence):
    """The set of (frame, object, track) that motmetrics matches."""
    events = _accumulate(sequence).mot_events
    events = events[events.Type.isin(["MATCH", "SWITCH"])]
    return {(int(frame), int(o), int(h)) for (frame, _), o, h in zip(events.index, events.OId, events.HId)}
