"""detect: any detector on a video, to json and pictures; video detectors with look-ahead under a tracker."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import vidperc
from vidperc.cli import main
from vidperc.pipeline import detect, track
from vidperc.sequence import SequenceModel
from vidperc.structures import Frame, Instances

CLASSES = ("low", "high")


def find(picture: np.ndarray) -> Instances:
    """The bright square of a picture, twice: as class 0 with score 0.9 and as class 1 with 0.2."""
    rows, columns = np.nonzero(picture[..., 0] > 100)
    box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return Instances(torch.tensor([box, box]).float(), labels=torch.tensor([0, 1]), scores=torch.tensor([0.9, 0.2]))


def squares(length: int = 8) -> np.ndarray:
    """A bright square that moves right, on black: (T, 96, 128, 3)."""
    frames = np.zeros((length, 96, 128, 3), np.uint8)
    for t in range(length):
        frames[t, 10:40, 5 + 4 * t : 35 + 4 * t] = 200
    return frames


class Late(SequenceModel):
    """Knows each frame three frames later, as a video detector with look-ahead."""

    lookahead = 3
    classes = CLASSES

    def init_state(self, video=None) -> list[Frame]:
        return []

    def step(self, frame, state):
        state.append(frame)
        return find(state.pop(0).array) if len(state) > 3 else None

    def finish(self, state):
        return [find(frame.array) for frame in state]


def test_detections_of_a_late_model_are_on_their_frames(tmp_path):
    result = detect(squares(), tmp_path, model=Late())
    assert (result.frames, result.objects) == (8, 8)  # those under 0.3 are left out
    content = json.loads(result.json.read_text())
    assert content["classes"] == list(CLASSES)
    assert [frame["objects"][0]["box"][0] for frame in content["frames"]] == [5 + 4 * t for t in range(8)]
    assert "id" not in content["frames"][0]["objects"][0]
    assert len(vidperc.Video(result.video)) == 8


def test_classes_scores_and_pictures(tmp_path):
    result = detect(
        squares(),
        tmp_path,
        model=Late(),
        classes=["high"],
        min_score=0.1,
        annotate=False,
        save_frames=True,
        max_frames=5,
    )
    objects = [frame["objects"] for frame in json.loads(result.json.read_text())["frames"]]
    assert [row[0]["label"] for row in objects] == [1] * 5
    assert all(len(row) == 1 for row in objects)
    assert len(list((tmp_path / "frames").iterdir())) == 5
    assert not result.video.exists()
    with pytest.raises(ValueError, match="no class cat"):
        detect(squares(), tmp_path, model=Late(), classes=["cat"])


def test_tracks_of_a_late_model_are_on_their_frames(tmp_path):
    result = track(squares(), tmp_path, detector=Late(), classes=["low"], tracker_options={"min_hits": 0})
    assert result.frames == 8
    assert len(result.ids) == 1
    rows = np.loadtxt(result.text, delimiter=",")
    assert rows[:, 0].tolist() == list(range(1, 9))
    assert np.abs(rows[:, 2] - (5 + 4 * np.arange(8))).max() < 3  # SORT smooths


@pytest.mark.filterwarnings("ignore:the video has")
def test_command_line_with_a_video_detector(tmp_path, capsys):
    source = tmp_path / "input.mp4"
    with vidperc.io.VideoWriter(source, 25.0) as writer:
        for picture in squares(4):
            writer.write(picture)
    words = ["--model", "tiny_selsa", "--out", str(tmp_path / "d"), "--set", "references=2"]
    assert main(["detect", str(source), *words]) == 0
    assert len(json.loads((tmp_path / "d" / "detections.json").read_text())["frames"]) == 4
    assert main(["track", str(source), "--detector", "tiny_selsa", "--out", str(tmp_path / "t"), "--no-video"]) == 0
    assert len(json.loads((tmp_path / "t" / "tracks.json").read_text())["frames"]) == 4
    assert main(["detect", str(tmp_path / "no.mp4"), "--out", str(tmp_path / "d")]) == 1
    assert "no.mp4" in capsys.readouterr().err


def test_script_is_a_thin_face():
    done = subprocess.run([sys.executable, "demo/detect.py", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--model" in done.stdout
