"""test: a model over sequences, one file each, resumed, scored, packed."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

import vidperc
from vidperc.engine.mot import find_sequences, run_sequences
from vidperc.testing import test as run_test

# SORT repository's published table for its Faster R-CNN detections: FP, FN, id switches, MOTA
PUBLISHED = {
    "TUD-Campus": (15, 113, 6, 62.7),
    "ETH-Sunnyday": (319, 418, 22, 59.1),
    "KITTI-17": (38, 225, 9, 60.2),
}


def sequence(folder, length=12, truth=True):
    """A MOTChallenge sequence without pictures: two objects walking right."""
    rows = [[t + 1, i, 10 + 3 * t + 100 * i, 20, 40, 80, 1] for t in range(length) for i in (1, 2)]
    table = np.array(rows, float)
    for name in ("gt", "det"):
        (folder / name).mkdir(parents=True)
    text = f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=25\nseqLength={length}\nimWidth=640\nimHeight=480\n"
    (folder / "seqinfo.ini").write_text(text)
    if truth:
        np.savetxt(folder / "gt" / "gt.txt", np.c_[table, np.ones((len(table), 2))], delimiter=",", fmt="%g")
    table[:, 1] = -1
    np.savetxt(folder / "det" / "det.txt", table, delimiter=",", fmt="%g")


def test_scores_files_and_submission(tmp_path):
    for name in ("A-01", "A-02"):
        sequence(tmp_path / "data" / name)
    outcome = run_test("sort_mot15", data_root=tmp_path / "data", out=tmp_path / "out")
    # min_hits=3: reported in the first three updates, and from then on
    assert outcome.scores.combined["FN"] == 0
    assert outcome.scores.combined["MOTA"] == 1.0
    assert json.loads((tmp_path / "out" / "scores.json").read_text())
    outcome = run_test("sort_mot15", data_root=tmp_path / "data", out=tmp_path / "out", resume=True, format_only=True)
    with zipfile.ZipFile(outcome.written[-1]) as archive:
        assert sorted(archive.namelist()) == ["A-01.txt", "A-02.txt"]


def test_resume_keeps_finished_files_and_redoes_the_others(tmp_path):
    for name in ("A-01", "A-02"):
        sequence(tmp_path / "data" / name)
    records = find_sequences(tmp_path / "data")
    model = vidperc.load("sort_mot15")

    def die(name, done, total):
        if name == "A-02" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sequences(model, records, tmp_path / "out", progress=die)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == ["A-01.txt"]
    seen = []
    run_sequences(model, records, tmp_path / "out", resume=True, progress=lambda name, done, total: seen.append(name))
    assert set(seen) == {"A-02"}
    assert (tmp_path / "out" / "A-02.txt").is_file()


def test_results_of_another_model_are_not_resumed(tmp_path):
    sequence(tmp_path / "data" / "A-01")
    options = {"data_root": tmp_path / "data", "out": tmp_path / "out"}
    run_test("sort_mot15", **options, max_age=2)
    result = tmp_path / "out" / "A-01.txt"
    before = result.read_text(), result.stat().st_mtime_ns
    for name, changes, said in (
        ("sort_mot15", {"max_age": 3}, "options {'max_age': 2}, now it is {'max_age': 3}"),
        ("sort_mot15", {"max_age": 2, "half": "val"}, "half None, now it is val"),
        ("bytetrack_tiny_det", {"max_age": 2}, "model sort_mot15, now it is bytetrack_tiny_det"),
    ):
        with pytest.raises(ValueError, match="cannot resume") as caught:
            run_test(name, **options, resume=True, **changes)
        assert said in str(caught.value)
    run_test("sort_mot15", **options, resume=True, max_age=2)
    assert (result.read_text(), result.stat().st_mtime_ns) == before
    run_test("sort_mot15", **options, max_age=3)  # without resuming it begins anew
    run_test("sort_mot15", **options, resume=True, max_age=3)


def test_without_ground_truth_there_are_results_and_no_scores(tmp_path):
    sequence(tmp_path / "data" / "A-01", truth=False)
    outcome = run_test("sort_mot15", data_root=tmp_path / "data", out=tmp_path / "out")
    assert outcome.scores is None
    assert (tmp_path / "out" / "A-01.txt").is_file()


def test_bad_requests(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run_test("sort_mot15", data_root=tmp_path / "nowhere")
    sequence(tmp_path / "data" / "A-01")
    with pytest.raises(FileNotFoundError, match="no sequence B; there is A-01"):
        run_test("sort_mot15", data_root=tmp_path / "data", sequences=["B"])
    with pytest.raises(ValueError, match="task mot, not vid"):
        run_test("sort_mot15", task="vid")
    with pytest.raises(ValueError, match="name a model"):
        run_test()


def test_published_sort_table(data_root, tmp_path):
    root = data_root / "mot" / "MOT15" / "train"
    scores = run_test("sort_mot15", data_root=root, sequences=list(PUBLISHED), out=tmp_path).scores
    for name, (fp, fn, switches, mota) in PUBLISHED.items():
        assert (scores[name]["FP"], scores[name]["FN"]) == (fp, fn)
        assert abs(scores[name]["IDSW"] - switches) <= 2
        assert abs(100 * scores[name]["MOTA"] - mota) <= 0.1
