"""Explanations of identity switches: a person who jumps, by hand, and that the settings named do help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vidperc.cli import main
from vidperc.engine.mot import given_sequences
from vidperc.explain import explain, explain_sequences, in_words
from vidperc.explain.rerun import run
from vidperc.io import MotWriter
from vidperc.models import load


@pytest.fixture
def jump(tmp_path: Path) -> tuple[str, str]:
    """A person at rest for ten frames, then 27 of their 40 pixels to the right: an overlap of 13 / 67."""
    truth, found = [], []
    for frame in range(1, 16):
        x = 100 if frame <= 10 else 127
        truth.append(f"{frame},1,{x},50,40,100,1,1,1\n")
        found.append(f"{frame},-1,{x},50,40,100,0.9\n")
    (tmp_path / "gt.txt").write_text("".join(truth))
    (tmp_path / "det.txt").write_text("".join(found))
    return str(tmp_path / "gt.txt"), str(tmp_path / "det.txt")


def test_a_gate_that_is_missed(jump):
    [found] = explain_sequences("bytetrack_mot17", *jump, match=0.8)
    assert (found.switch.object, found.switch.before, found.switch.now, found.switch.since) == (1, 1, 2, 9)
    assert found.switch.frame == 11  # the new track is tentative in frame 10
    [decision] = found.decisions
    assert (decision.frame, decision.taker, decision.started, decision.instead) == (10, 2, True, None)
    claim = decision.stages[0].claim
    assert claim.terms["IoU"] == pytest.approx(13 / 67, abs=0.01)
    assert claim.cost == pytest.approx(1 - 0.9 * 13 / 67, abs=0.01)
    assert [(item.setting, item.limit) for item in claim.failures] == [("match", 0.8)]
    [remedy] = found.remedies
    assert (remedy.setting, remedy.now) == ("match", 0.8)
    assert remedy.needed == pytest.approx(claim.cost, abs=0.01)
    assert explain_sequences("bytetrack_mot17", *jump, match=remedy.needed) == []
    words = in_words(found)
    assert "frame 12: object 1 goes from track 1 (last match in frame 10) to track 2" in words
    assert "is above match = 0.8" in words and f"With match = {remedy.needed:g} instead of 0.8" in words


@pytest.mark.parametrize("name", ["sort_mot17", "ocsort_mot17", "botsort_mot17_fixed_camera"])
def test_what_is_said_to_help_does(jump, name):
    [found] = explain_sequences(name, *jump)
    for remedy in found.remedies:
        assert explain_sequences(name, *jump, **{remedy.setting: remedy.needed}) == []
    assert found.remedies


def test_without_ground_truth(jump):
    """The same by the tracks' ids, in the frame in which the new one is first shown."""
    _, detections = jump
    [found] = explain_sequences("sort_mot17", None, detections, frame=13, ids=(1, 2))
    assert (found.switch.frame, found.switch.since, found.switch.object) == (13, 9, None)
    assert found.decisions[0].taker == 2
    with pytest.raises(ValueError, match="frame 4 has no track 2; it has 1"):
        explain_sequences("sort_mot17", None, detections, frame=3, ids=(1, 2))


def test_results_must_be_those_of_the_run(jump, tmp_path):
    [record] = given_sequences(*jump)
    tracks, _ = run(load("bytetrack_mot17"), record.video)
    with MotWriter(tmp_path / "tracks.txt") as writer:
        for index, report in enumerate(tracks):
            writer.write(index, report)
    explain_sequences("bytetrack_mot17", *jump, tracks=tmp_path / "tracks.txt")
    with pytest.raises(ValueError, match=r"tracks.txt, frame 1[12]: not the tracks"):
        explain_sequences("bytetrack_mot17", *jump, tracks=tmp_path / "tracks.txt", match=0.7)


def test_the_model_is_left_as_it_was(jump):
    [record] = given_sequences(*jump)
    model = load("bytetrack_mot17")
    tracker = model.tracker
    explain(model, record)
    assert model.tracker is tracker and tracker.match == 0.9


def test_the_command(jump, tmp_path, capsys):
    arguments = ["explain", "bytetrack_mot17", "--gt", jump[0], "--det", jump[1], "--set", "match=0.8"]
    assert main([*arguments, "--json", str(tmp_path / "out.json")]) == 0
    assert "1 identity switches" in capsys.readouterr().out
    [found] = json.loads((tmp_path / "out.json").read_text())
    assert found["switch"]["before"] == 1 and found["remedies"][0]["setting"] == "match"
    assert main([*arguments, "--frame", "3"]) == 0
    assert "0 identity switches" in capsys.readouterr().out
    assert main(["explain", "bytetrack_mot17", "--gt", jump[0]]) == 1
