"""Errors one by one: those of a scene by hand, and as many as CLEAR counts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import vidperc
from vidperc.evaluation import read_tracks
from vidperc.evaluation.errors import Mark, Switch, find_errors
from vidperc.evaluation.metrics.clear import clear_counts
from vidperc.evaluation.metrics.matching import box_pairs
from vidperc.evaluation.metrics.sequence import MOTSequence
from vidperc.evaluation.rules import plain

# frame, id, x, y, width, height
TRUTH = [
    (1, 1, 0, 0, 20, 20),
    (2, 1, 5, 0, 20, 20),
    (3, 1, 10, 0, 20, 20),
    (4, 1, 15, 0, 20, 20),
    (2, 2, 60, 0, 20, 20),
]
FOUND = [(1, 7, 0, 0, 20, 20), (3, 7, 80, 60, 20, 20), (3, 9, 11, 0, 20, 20), (4, 9, 15, 0, 20, 20)]


def tracks(rows, truth: bool):
    return next(iter(read_tracks(np.array([[*row, 1, -1, -1, -1] for row in rows], float), truth=truth).values()))


def test_a_scene_by_hand():
    """Object 1 is followed by 7, missed in frame 2, then followed by 9; 7 goes on where nothing is."""
    first, second, third, fourth = find_errors(plain(tracks(TRUTH, True), tracks(FOUND, False))["object"])
    assert first.matched == [Mark((0, 0, 20, 20), 7)]
    assert not first.any
    assert second.misses == [Mark((5, 0, 25, 20), 1), Mark((60, 0, 80, 20), 2)]
    assert not second.switches
    assert third.false_positives == [Mark((80, 60, 100, 80), 7)]
    assert third.switches == [Switch(Mark((10, 0, 30, 20), 1), before=7, now=9, since=0)]
    assert third.matched == [Mark((11, 0, 31, 20), 9)]
    assert not fourth.any


@pytest.mark.parametrize("seed", range(5))
def test_as_many_as_clear_counts(seed):
    generator = np.random.default_rng(seed)
    rows = [
        (t, i, *(60 * i + 10 * generator.standard_normal(2)), 60, 60)
        for t in range(1, 21)
        for i in range(1, 6)
        if generator.random() < 0.9
    ]
    found = [(t, (i + t // 7) % 5 + 1, x + 8 * generator.standard_normal(), y, w, h) for t, i, x, y, w, h in rows]
    found = [row for row in found if generator.random() < 0.9]
    sequence = plain(tracks(rows, True), tracks(found, False))["object"]
    counts, frames = clear_counts(sequence), find_errors(sequence)
    assert counts.idsw > 0
    assert sum(len(frame.switches) for frame in frames) == counts.idsw
    assert sum(len(frame.false_positives) for frame in frames) == counts.fp
    assert sum(len(frame.misses) for frame in frames) == counts.fn
    assert sum(len(frame.matched) for frame in frames) == counts.tp


def test_a_sequence_without_rows_is_refused():
    none, boxes = np.zeros(0, np.int64), np.zeros((0, 4))
    with pytest.raises(ValueError, match="without its rows"):
        find_errors(MOTSequence.build(none, none, none, none, box_pairs(none, boxes, none, boxes), 3))


@pytest.mark.parametrize(("options", "length"), [([], 4), (["--only-errors"], 2)])
def test_they_are_drawn(options, length, tmp_path):
    for name, rows in (("gt", TRUTH), ("found", FOUND)):
        (tmp_path / f"{name}.txt").write_text("".join(",".join(map(str, row)) + ",1,-1,-1,-1\n" for row in rows))
    command = [sys.executable, "tools/mot_error_view.py", str(tmp_path / "gt.txt"), str(tmp_path / "found.txt")]
    command += ["--benchmark", "plain", "--out", str(tmp_path / "e.mp4"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    frames = list(vidperc.Video(tmp_path / "e_object.mp4"))
    assert len(frames) == length
    assert frames[0].array.max() > 100
