"""track: from a source to tracks, pictures and scores, whatever goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import vidperc
from vidperc.cli import main
from vidperc.data.synthetic import SyntheticVideo
from vidperc.io import VideoWriter
from vidperc.pipeline import make_tracker, track
from vidperc.sequence import SequenceModel
from vidperc.structures import Frame, Instances


def squares(length: int = 20) -> np.ndarray:
    """Two bright squares that move right, on black: (T, 96, 128, 3)."""
    frames = np.zeros((length, 96, 128, 3), np.uint8)
    for t in range(length):
        frames[t, 10:30, 5 + 3 * t : 25 + 3 * t] = 200
        frames[t, 50:80, 20 + 2 * t : 45 + 2 * t] = 255
    return frames


def detect(frame: Frame) -> Instances:
    """The bounds of each square: the truth of `squares`."""
    boxes = []
    for level in (200, 255):
        rows, columns = np.nonzero(frame.array[..., 0] == level)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return Instances(torch.tensor(boxes).float(), labels=torch.zeros(2, dtype=torch.int64), scores=torch.ones(2))


def truth_rows(length: int = 20) -> np.ndarray:
    rows = []
    for t in range(length):
        rows += [[t + 1, 1, 5 + 3 * t, 10, 20, 20], [t + 1, 2, 20 + 2 * t, 50, 25, 30]]
    return np.array(rows, float)


def test_perfect_detections_give_perfect_tracks(tmp_path):
    result = track(squares(), tmp_path, detector=detect, tracker_options={"min_hits": 0}, ground_truth=truth_rows())
    assert result.frames == 20
    assert len(result.ids) == 2
    scores = result.scores.combined
    assert scores["MOTA"] == 1.0
    assert scores["IDF1"] == 1.0
    assert scores["FP"] == scores["FN"] == scores["IDSW"] == 0
    rows = np.loadtxt(result.text, delimiter=",")
    assert len(rows) == 40
    assert rows[:, 0].min() == 1
    assert rows[:, 1].min() >= 1
    content = json.loads(result.json.read_text())
    assert [frame["frame"] for frame in content["frames"]] == list(range(20))
    assert len(vidperc.Video(result.video)) == 20
    assert json.loads((tmp_path / "scores.json").read_text())


def test_interrupt_keeps_what_was_written(tmp_path):
    def stop(done: int, total: int | None) -> None:
        if done == 7:
            raise KeyboardInterrupt

    result = track(squares(), tmp_path, detector=detect, progress=stop)
    assert result.interrupted
    assert result.frames == 7
    assert len(json.loads(result.json.read_text())["frames"]) == 7
    assert len(vidperc.Video(result.video)) == 7


def test_an_error_in_the_detector_keeps_what_was_written(tmp_path):
    def failing(frame: Frame) -> Instances:
        if frame.index == 5:
            raise RuntimeError("out of order")
        return detect(frame)

    with pytest.raises(RuntimeError, match="out of order"):
        track(squares(), tmp_path, detector=failing)
    assert len(json.loads((tmp_path / "tracks.json").read_text())["frames"]) == 5
    assert len(vidperc.Video(tmp_path / "tracks.mp4")) == 5


@pytest.mark.parametrize("bad", [[[5.0, 5, float("nan"), 9]], [[9.0, 9, 5, 5]]])
def test_boxes_that_are_none_are_named(tmp_path, bad):
    with pytest.raises(ValueError, match="frame 0"):
        track(squares(), tmp_path, detector=lambda frame: Instances(torch.tensor(bad)))


def test_detections_from_a_file(tmp_path):
    path = tmp_path / "det.txt"
    rows = truth_rows()
    np.savetxt(path, np.c_[rows[:, 0], -np.ones(len(rows)), rows[:, 2:], np.ones(len(rows))], delimiter=",", fmt="%g")
    result = track(squares(), tmp_path / "out", detector=path, ground_truth=rows, tracker_options={"min_hits": 0})
    assert result.scores.combined["MOTA"] == 1.0


def test_broken_row_names_file_and_line(tmp_path):
    path = tmp_path / "det.txt"
    path.write_text("1,-1,10,10,20,20,1\n2,-1,10,oops,20,20,1\n")
    with pytest.raises(ValueError, match=r"det.txt, line 2"):
        track(squares(), tmp_path / "out", detector=path)


def test_classes_must_be_the_detectors(tmp_path):
    with pytest.raises(ValueError, match="no class dog; it has person"):
        track(squares(), tmp_path, detector="hog", classes=["dog"])


def test_unknown_names_offer_near_ones(tmp_path):
    with pytest.raises(KeyError, match="sort"):
        make_tracker("sorrt")
    with pytest.raises(AttributeError, match="max_age"):
        make_tracker("sort", maxage=3)


def test_a_word_for_a_number_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"high: expected a number such as 0\.5, got 'abc'"):
        track(squares(), tmp_path, detector=detect, tracker="bytetrack", tracker_options={"high": "abc"})


def test_warnings_of_the_command_line_are_one_line(tmp_path, capsys):
    (tmp_path / "det.txt").write_text("1,-1,10,10,20,20,0.9\n2,-1,10,10,0,20,0.9\n")
    with VideoWriter(tmp_path / "in.mkv", 10, crf=0) as writer:
        for picture in squares():
            writer.write(picture)
    arguments = ["track", str(tmp_path / "in.mkv"), "--detector", str(tmp_path / "det.txt"), "--no-video"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    text = "1 rows without width or height left out, the first in line 2"
    assert capsys.readouterr().err == f"vidperc: warning: {tmp_path / 'det.txt'}: {text}\n"


def test_command_line_exit_codes(tmp_path, capsys):
    assert main(["track", str(tmp_path / "no.mp4"), "--out", str(tmp_path / "o")]) == 1
    assert "no.mp4" in capsys.readouterr().err
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    assert main(["track", str(empty), "--out", str(tmp_path / "o")]) == 1
    assert "empty.mp4" in capsys.readouterr().err
    assert main(["track", str(empty), "--out", str(tmp_path / "o"), "--detector", "hoog"]) == 1


def test_scripts_are_thin_faces(tmp_path):
    for script in ("demo/track.py", "tools/test.py"):
        done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "usage" in done.stdout


def test_track_synthetic_clip(tmp_path):
    result = track(out=tmp_path, max_frames=40, annotate=False)
    assert (tmp_path / "input.mp4").is_file()
    assert (tmp_path / "gt.txt").is_file()
    assert 0.2 < result.scores.combined["HOTA"] <= 1


@pytest.mark.parametrize("tracker", ["deepsort", "tracktor"])
def test_trackers_with_networks_take_those_that_ship(tracker, tmp_path, monkeypatch):
    """Offline, with nothing cached: the tiny ones, and the line says so."""
    monkeypatch.setenv("VIDPERC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("vidperc.choose.download_problem", lambda url: "its server is not reached")
    video = SyntheticVideo(3, 5, (96, 128), "mot")
    frames = [video.read(index).array for index in range(5)]
    options = {"detector": "motion"} if tracker == "deepsort" else {}
    result = track(frames, tmp_path / "out", tracker=tracker, annotate=False, refinement="linear", **options)
    assert result.frames == 5
    assert ("tiny_reid" if tracker == "deepsort" else "tiny_det, which knows synthetic objects only") in result.detector
    assert (tmp_path / "out" / "tracks_raw.txt").exists() == result.text.exists()


def test_tracktor_refuses_a_detector_of_one_stage(tmp_path):
    with pytest.raises(TypeError, match=r"moves boxes by a second stage, and .* has none"):
        track([np.zeros((64, 64, 3), np.uint8)], tmp_path, tracker="tracktor", detector="hog", annotate=False)
    with pytest.raises(TypeError, match="not of re-identification"):
        track([np.zeros((64, 64, 3), np.uint8)], tmp_path, detector="hog", reid="sort", annotate=False)


def test_only_what_is_in_the_region(tmp_path):
    frames = [np.zeros((64, 96, 3), np.uint8)] * 4

    def two(frame):
        return Instances(
            boxes=torch.tensor([[5.0, 5, 25, 45], [60, 5, 80, 45]]), scores=torch.ones(2), labels=torch.tensor([0, 0])
        )

    corners = [(0, 0), (40, 0), (40, 64), (0, 64)]
    result = track(frames, tmp_path, detector=two, tracker="sort", region=corners, annotate=False)
    assert len(result.ids) == 1


@pytest.mark.parametrize("name", ["deepsort", "tracktor", "bytetrack_tiny_det"])
def test_models_of_shipped_parts_load(name):
    """Strictly: every tensor of the part is in its file."""
    assert isinstance(vidperc.load(name), SequenceModel)
