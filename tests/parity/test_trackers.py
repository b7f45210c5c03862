"""Trackers against MMTracking 0.14 on recorded detections: the same ids up to their names, boxes to 1e-3.

The variants that do what that library does are the `Eager` ones; what they do otherwise than the papers is said in
their docstrings. All recordings share their inputs, `goldens/tracker_inputs_a.npz`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vidperc.structures import Instances
from vidperc.video.byte_track import EagerByteTrack
from vidperc.video.deep_sort import EagerDeepSORT
from vidperc.video.eager_oc_sort import EagerOCSORT
from vidperc.video.sort import EagerSORT
from vidperc.video.tracktor import TracktorTracker

HERE = Path(__file__).parent / "goldens"


def golden(name):
    arrays = {}
    for part in ("inputs", name):
        with np.load(HERE / f"tracker_{part}_a.npz", allow_pickle=False) as file:
            arrays.update({key: file[key] for key in file.files})
    return arrays, json.loads(str(arrays["meta"]))


def detections(arrays, k):
    fields = {name: torch.from_numpy(arrays[f"f{k}_in_{name}"]) for name in ("boxes", "scores", "labels", "embeddings")}
    return Instances(**fields)


def check(arrays, k, tracks, names, tolerance=1e-3):
    """Each recorded track has a track of ours at the same box, and the two ids belong to each other for good."""
    boxes, ids = arrays[f"f{k}_track_boxes"], arrays[f"f{k}_track_ids"]
    assert len(tracks) == len(boxes), f"frame {k}"
    distance = np.abs(boxes[:, None] - tracks.boxes.numpy()[None]).max(2)
    ours = distance.argmin(1)
    assert len(set(ours)) == len(ours), f"frame {k}"
    assert (distance.min(1) <= tolerance).all(), f"frame {k}"
    assert np.abs(arrays[f"f{k}_track_scores"] - tracks.scores.numpy()[ours]).max(initial=0) <= tolerance
    assert (arrays[f"f{k}_track_labels"] == tracks.labels.numpy()[ours]).all()
    for theirs, own in zip(ids.tolist(), tracks.ids.numpy()[ours].tolist()):
        assert names.setdefault(theirs, own) == own, f"frame {k}: recorded id {theirs}"
    assert len(set(names.values())) == len(names), f"frame {k}"


TRACKERS = {
    "sort": EagerSORT(score_threshold=0.5, iou_threshold=0.5),
    "deepsort": EagerDeepSORT(
        score_threshold=0.5, max_distance=2.0, budget=10, iou_threshold=0.5, confirm=2, max_age=99
    ),
    "bytetrack": EagerByteTrack(high=0.6, low=0.1, start=0.7, match=0.9, match_low=0.5, match_tentative=0.7, confirm=3),
    "ocsort": EagerOCSORT(score_threshold=0.3, start=0.7, iou_threshold=0.3, delta=3, inertia=0.2, confirm=3),
}


@pytest.mark.parametrize("name", TRACKERS)
def test_tracker(name):
    arrays, meta = golden(name)
    tracker = TRACKERS[name]
    state, names = tracker.init_state(), {}
    for k in meta["frames"]:
        check(arrays, k, tracker.update(detections(arrays, k), state), names)


def overlaps(a, b):
    size = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None)
    areas = [np.prod(x[:, 2:] - x[:, :2], 1) for x in (a, b)]
    common = size.prod(2)
    return common / (areas[0][:, None] + areas[1] - common)


class RecordedNetworks:
    """What the recording had in place of networks: answers from the detection that overlaps a box most."""

    def __init__(self, arrays, k, reid):
        self.found = [arrays[f"f{k}_in_{name}"] for name in ("boxes", "scores", "embeddings")]
        self.reid = reid

    def nearest(self, boxes):
        overlap = overlaps(np.asarray(boxes, np.float32), self.found[0])
        return overlap.argmax(1), overlap.max(1)

    def regress(self, boxes, labels):
        boxes, (nearest, overlap) = np.array(boxes, np.float32), self.nearest(boxes)
        scores = np.where(overlap >= 0.3, self.found[1][nearest], np.float32(0.1))
        return np.where(overlap[:, None] >= 0.3, self.found[0][nearest], boxes), scores

    def embed(self, boxes):
        if not self.reid:
            return None
        nearest, overlap = self.nearest(np.asarray(boxes).reshape(-1, 4))
        return np.where(overlap[:, None] > 0, self.found[2][nearest], 0.0)


TRACKTORS = {
    "tracktor": (TracktorTracker(), True),
    "tracktor_noreid": (TracktorTracker(), False),
}


@pytest.mark.parametrize("name", TRACKTORS)
def test_tracktor(name):
    arrays, meta = golden(name)
    tracker, reid = TRACKTORS[name]
    state, names = tracker.init_state(), {}
    for k in meta["frames"]:
        tracks = tracker.update(detections(arrays, k), state, RecordedNetworks(arrays, k, reid))
        check(arrays, k, tracks, names)
