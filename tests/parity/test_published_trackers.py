"""Detector and tracker together, end to end from uint8 frames, against the outputs of the reference implementation."""

from __future__ import annotations

import kit
import numpy as np
import pytest

from vidperc import Frame

NAMES = {"sort_faster-rcnn_fpn_4e_mot17-private-half": "sort_faster_rcnn_fpn_4e_mot17_private_half"}


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


@pytest.mark.parametrize("name", NAMES)
def test_tracks_are_those_of_the_reference(name, tmp_path):
    model, golden = kit.load_filled(name, tmp_path, NAMES[name])
    state = model.init_state()
    found = {}
    with model.inference():
        for frame in golden["meta"]["frames"]:
            found[frame] = model.step(Frame.from_array(np.array(kit.frames()[frame]), frame), state)
    assert min(track_agreement(golden, found)) >= kit.PASS
