"""Detector and tracker together, end to end from uint8 frames, against the outputs of the reference implementation."""

from __future__ import annotations

import kit
import numpy as np
import pytest

from vidperc import Frame

NAMES = (
    "sort_faster-rcnn_fpn_4e_mot17-private-half",
    "deepsort_faster-rcnn_fpn_4e_mot17-private-half",
    "tracktor_faster-rcnn_r50_fpn_4e_mot17-private-half",
)


def track_agreement(golden, found):
    """Fraction of the golden's tracks, and of ours, that are at the same place under the same identity."""
    pairs, total, given = {}, 0, 0
    for frame in golden["meta"]["frames"]:
        tracks, prefix = found[frame], f"f{frame}_track_"
        view = {f"f{frame}_{key}": golden[prefix + key] for key in ("boxes", "scores", "labels", "ids")}
        rows, columns = kit.match(view, frame, tracks)
        total, given = total + len(view[f"f{frame}_boxes"]), given + len(tracks)
        for pair in zip(view[f"f{frame}_ids"][rows].tolist(), tracks.ids.numpy()[columns].tolist()):
            pairs[pair] = pairs.get(pair, 0) + 1
    kept, theirs, ours = 0, set(), set()
    for (a, b), count in sorted(pairs.items(), key=lambda item: -item[1]):
        if a not in theirs and b not in ours:
            kept += count
            theirs.add(a), ours.add(b)
    return kept / max(total, 1), kept / max(given, 1)


def record_detections(model, monkeypatch):
    """A list that the detector's results are added to, frame after frame."""
    found, detect = [], model.detector.detect

    def recording(*args, **options):
        results = detect(*args, **options)
        found.extend(results)
        return results

    monkeypatch.setattr(model.detector, "detect", recording)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_detections_and_tracks_are_those_of_the_reference(name, tmp_path, monkeypatch):
    model, golden = kit.load_filled(name, tmp_path)
    detections = record_detections(model, monkeypatch)
    state = model.init_state()
    tracks = {}
    with model.inference():
        for frame in golden["meta"]["frames"]:
            tracks[frame] = model.step(Frame.from_array(np.array(kit.frames()[frame]), frame), state)
    assert kit.compare(golden, dict(zip(golden["meta"]["frames"], detections, strict=True))).passed
    assert min(track_agreement(golden, tracks)) >= kit.PASS
