"""Settings are searched, scored, and not tried twice."""

from __future__ import annotations

import json

import pytest

from vidperc.tuning import Range, draws, grid, tune

LENGTH = 12


@pytest.fixture
def sequence(tmp_path):
    """Two objects that move straight; one of them is detected with a score of 0.3 only."""
    folder = tmp_path / "data" / "a"
    truth, found = [], []
    for t in range(LENGTH):
        for i, (x, y, score) in enumerate([(10 + 4 * t, 20, 0.9), (200 - 4 * t, 120, 0.3)]):
            truth.append(f"{t + 1},{i + 1},{x},{y},30,60,1,1,1\n")
            found.append(f"{t + 1},-1,{x},{y},30,60,{score}\n")
    for name, rows in (("gt", truth), ("det", found)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.txt").write_text("".join(rows))
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname=a\nframeRate=10\nseqLength={LENGTH}\nimWidth=320\nimHeight=240\n"
    )
    return folder


def test_spaces():
    assert list(grid({"a": [1, 2], "b": [0.5]})) == [{"a": 1, "b": 0.5}, {"a": 2, "b": 0.5}]
    with pytest.raises(ValueError, match="a: a grid needs values"):
        list(grid({"a": Range(0, 1)}))
    space = {"a": Range(0.2, 0.4), "b": Range(1, 3), "c": ["x", "y"]}
    found = list(draws(space, 40, seed=3))
    assert found[:10] == list(draws(space, 10, seed=3))
    assert found != list(draws(space, 40, seed=4))
    assert all(0.2 <= settings["a"] <= 0.4 for settings in found)
    assert {settings["b"] for settings in found} == {1, 2, 3}
    assert {settings["c"] for settings in found} == {"x", "y"}


CANDIDATES = [{"score_threshold": 0.2, "min_hits": 0}, {"score_threshold": 0.5, "min_hits": 0}]


@pytest.mark.parametrize("kind", ["folder", "files"])
def test_scores_by_hand(kind, sequence, tmp_path):
    """With a threshold below 0.3 both objects are tracked in all frames, else one of them."""
    where = (sequence.parent, None) if kind == "folder" else (sequence / "gt/gt.txt", sequence / "det/det.txt")
    both, one = tune("ocsort", CANDIDATES, *where, out=tmp_path / "t.jsonl")
    assert (both.settings, one.settings) == tuple(CANDIDATES)
    assert both.scores["FN"] == both.scores["FP"] == both.scores["IDSW"] == 0
    assert both.scores["HOTA"] == both.scores["MOTA"] == pytest.approx(1.0)
    assert one.scores["FN"] == LENGTH
    assert one.scores["MOTA"] == pytest.approx(0.5)


def test_done_trials_are_not_repeated(sequence, tmp_path):
    out, seen = tmp_path / "t.jsonl", []
    first = tune("ocsort", CANDIDATES[:1], sequence.parent, out=out)
    with out.open("a") as file:
        file.write('{"source": ["ocs')  # killed here
    both = tune(
        "ocsort",
        CANDIDATES,
        sequence.parent,
        out=out,
        progress=lambda *report: seen.append((report[0].settings, report[1:])),
    )
    assert seen == [(CANDIDATES[1], (2, 2))]
    assert both[0] == first[0]
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 2
    with pytest.raises(ValueError, match=r"t.jsonl, line 1: a trial of .*ocsort"):
        tune("bytetrack", [{}], sequence.parent, out=out)


def test_processes_find_what_one_finds(sequence, tmp_path):
    alone = tune("ocsort", CANDIDATES, sequence.parent, out=tmp_path / "a.jsonl")
    assert tune("ocsort", CANDIDATES, sequence.parent, out=tmp_path / "b.jsonl", workers=2) == alone


def test_bad_input_is_named(sequence, tmp_path):
    with pytest.raises(AttributeError, match="inertya"):
        tune("ocsort", [{"inertya": 1}], sequence.parent, out=tmp_path / "t.jsonl")
    with pytest.raises(ValueError, match="needs one of detections"):
        tune("ocsort", [{}], sequence / "gt/gt.txt", out=tmp_path / "t.jsonl")
