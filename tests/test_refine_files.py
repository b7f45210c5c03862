"""Refinement of result files, and halves of sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vidperc.cli import main
from vidperc.engine.mot import find_sequences, half_sequence
from vidperc.io import read_mot
from vidperc.refine_files import refine_file


@pytest.fixture
def gap(tmp_path: Path) -> Path:
    """Track 4 of class 2 misses frames 3 and 4; track 5 stands still."""
    rows = [f"{frame},4,{10 * frame},20,30,60,0.8,2,-1\n" for frame in (1, 2, 5, 6)]
    rows += [f"{frame},5,200,20,30,60,0.9,1,-1\n" for frame in range(1, 7)]
    (tmp_path / "tracks.txt").write_text("".join(sorted(rows)))
    return tmp_path / "tracks.txt"


@pytest.mark.parametrize("method", ["linear", "gaussian", "kalman"])
def test_gaps_are_filled(gap, method):
    out = gap.with_name("out.txt")
    assert refine_file(gap, out, method) == (10, 12)
    table = read_mot(out)
    own = table.ids == 4
    assert table.frames[own].tolist() == list(range(6))
    assert set(table.classes[own].tolist()) == {2} and set(table.classes[~own].tolist()) == {1}
    if method == "linear":
        np.testing.assert_allclose(table.boxes[own][:, 0], 10.0 * np.arange(1, 7), atol=1e-3)


def test_options_and_errors(gap, tmp_path):
    assert refine_file(gap, tmp_path / "o.txt", "linear", max_gap=1) == (10, 10)
    with pytest.raises(TypeError, match="'linear' has no option tau; it has max_gap, min_length"):
        refine_file(gap, tmp_path / "o.txt", "linear", tau=3)
    with pytest.raises(ValueError, match="expected one of linear, gaussian, kalman"):
        refine_file(gap, tmp_path / "o.txt", "median")
    (tmp_path / "det.txt").write_text("1,-1,10,20,30,40,0.9\n")
    with pytest.raises(ValueError, match=r"det.txt, frame 1: a row without an id"):
        refine_file(tmp_path / "det.txt", tmp_path / "o.txt")


def test_the_command_takes_folders(gap, tmp_path, capsys):
    out = tmp_path / "refined"
    assert main(["refine", str(gap.parent), "--out", str(out)]) == 0
    assert "10 rows, now 12" in capsys.readouterr().out
    assert len(read_mot(out / "tracks.txt")) == 12
    assert main(["refine", str(out / "none"), "--out", str(out)]) == 1


def test_halves_of_a_sequence(tmp_path):
    """Of 7 frames the first half has 4, as in CenterTrack's split of MOT17."""
    folder = tmp_path / "MOT17-02-SDP"
    for name in ("gt", "det"):
        (folder / name).mkdir(parents=True)
    rows = "".join(f"{frame},1,{frame},0,10,20,1,1,1\n" for frame in range(1, 8))
    (folder / "gt" / "gt.txt").write_text(rows)
    (folder / "det" / "det.txt").write_text("".join(f"{f},-1,{f},0,10,20,0.9\n" for f in range(1, 8)))
    (folder / "seqinfo.ini").write_text(
        "[Sequence]\nname=MOT17-02-SDP\nimDir=img1\nframeRate=30\nseqLength=7\nimWidth=64\nimHeight=48\nimExt=.jpg\n"
    )
    [record] = find_sequences(tmp_path, ["SDP"])
    first, second = half_sequence(record, "train"), half_sequence(record, "val")
    assert (len(first.video), len(second.video)) == (4, 3)
    assert (first.truth.length, second.truth.length) == (4, 3)
    assert second.truth.frames.tolist() == [0, 1, 2] and second.truth.boxes[:, 0].tolist() == [5, 6, 7]
    assert [int(frame.detections.boxes[0, 0]) for frame in second.video] == [5, 6, 7]
    assert [frame.index for frame in second.video] == [0, 1, 2]
    with pytest.raises(ValueError, match="expected train or val"):
        half_sequence(record, "test")
