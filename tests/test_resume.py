"""A killed run that is resumed gives what an uninterrupted one gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import vidperc
from vidperc import Frame, Instances, Video
from vidperc.cli import main
from vidperc.data.synthetic import SyntheticVideo
from vidperc.io import JsonWriter, MotWriter, ResultError, VideoWriter
from vidperc.pipeline import track
from vidperc.resume import Checkpoints, Stream, read_checkpoint
from vidperc.sequence import SequenceModel
from vidperc.video.camera_motion import ECCMotion, ORBMotion
from vidperc.video.compensated import Compensated
from vidperc.video.oc_sort import OCSORT
from vidperc.video.sort import SORT

LENGTH = 24


def clip() -> np.ndarray:
    """Squares that cross, vanish and come back, over a textured ground: (T, 96, 128, 3)."""
    ground = np.random.default_rng(0).integers(0, 60, (96, 128, 3), dtype=np.uint8)
    frames = np.repeat(ground[None], LENGTH, 0)
    for t in range(LENGTH):
        frames[t, 10:30, 5 + 3 * t : 25 + 3 * t] = 200
        if not 8 <= t < 13:
            frames[t, 20:50, 95 - 3 * t : 120 - 3 * t] = 255
    return frames


def synthetic() -> np.ndarray:
    """Objects that `tiny_det` knows: (T, 144, 192, 3)."""
    return np.stack([frame.array for frame in SyntheticVideo(4, LENGTH, (144, 192), "mot").frames()])


def detect(frame: Frame) -> Instances:
    """The bounds of each square that is seen."""
    boxes = []
    for level in (200, 255):
        rows, columns = np.nonzero(frame.array[..., 0] == level)
        if len(rows):
            boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    count = len(boxes)
    return Instances(
        torch.tensor(boxes).float(), labels=torch.zeros(count, dtype=torch.int64), scores=torch.full((count,), 0.9)
    )


def stop_at(count: int):
    def stop(done: int, total: int | None) -> None:
        if done == count:
            raise KeyboardInterrupt

    return stop


def same_files(a: Path, b: Path) -> None:
    assert (a / "tracks.txt").read_bytes() == (b / "tracks.txt").read_bytes()
    assert (a / "tracks.json").read_bytes() == (b / "tracks.json").read_bytes()


RUNS = {
    "sort": {"tracker": "sort"},
    "sort_per_class": {"tracker": "sort", "per_class": True},
    "sort_camera": {"tracker": Compensated(SORT(max_age=30), ECCMotion())},
    "bytetrack": {"tracker": "bytetrack"},
    "ocsort": {"tracker": "ocsort"},
    "ocsort_camera": {"tracker": Compensated(OCSORT(), ORBMotion())},
    "botsort": {"tracker": "botsort"},
    "botsort_reid": {"tracker": "botsort", "reid": "tiny_reid"},
    "deepsort": {"tracker": "deepsort", "reid": "tiny_reid"},
    "tracktor": {"tracker": "tracktor", "detector": "tiny_det"},
    "tracktor_reid": {"tracker": "tracktor", "detector": "tiny_det", "reid": "tiny_reid"},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_resumed_run_equals_an_uninterrupted_one(name, tmp_path):
    options = {"detector": detect, "annotate": False, **RUNS[name]}
    video = synthetic() if options["detector"] == "tiny_det" else clip()
    whole = track(video, tmp_path / "whole", **options)
    part = track(video, tmp_path / "part", checkpoint_every=5, progress=stop_at(13), **options)
    assert part.interrupted
    assert (part.frames, part.resumed) == (13, 0)
    rest = track(video, tmp_path / "part", checkpoint_every=5, resume=True, **options)
    assert (rest.frames, rest.resumed, rest.ids) == (LENGTH, 10, whole.ids)
    assert len(whole.ids) >= 2
    same_files(tmp_path / "whole", tmp_path / "part")


def test_a_killed_process_goes_on_from_its_files(tmp_path):
    """Killed without any chance to close files; the annotated video is whole again afterwards."""
    with VideoWriter(tmp_path / "in.mkv", 10, crf=0) as writer:
        for picture in clip():
            writer.write(picture)
    rows = [(t, detect(Frame.from_array(picture)).boxes) for t, picture in enumerate(clip())]
    (tmp_path / "det.txt").write_text(
        "".join(
            f"{t + 1},-1,{x1},{y1},{x2 - x1},{y2 - y1},0.9\n" for t, boxes in rows for x1, y1, x2, y2 in boxes.tolist()
        )
    )
    code = f"""
import os
from vidperc.pipeline import track
track({str(tmp_path / "in.mkv")!r}, {str(tmp_path / "out")!r}, detector={str(tmp_path / "det.txt")!r},
      tracker="bytetrack", checkpoint_every=4, progress=lambda done, total: os._exit(9) if done == 11 else None)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert not (tmp_path / "out" / "tracks.mp4").exists()
    arguments = ["track", str(tmp_path / "in.mkv"), "--detector", str(tmp_path / "det.txt"), "--tracker", "bytetrack"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--resume"]) == 0
    assert main([*arguments, "--out", str(tmp_path / "whole"), "--no-video"]) == 0
    same_files(tmp_path / "whole", tmp_path / "out")
    assert len(vidperc.Video(tmp_path / "out" / "tracks.mp4")) == LENGTH


def test_without_a_checkpoint_it_begins(tmp_path):
    result = track(clip(), tmp_path, detector=detect, annotate=False, resume=True)
    assert (result.frames, result.resumed) == (LENGTH, 0)


def test_a_new_run_forgets_the_checkpoint_of_an_old_one(tmp_path):
    track(clip(), tmp_path, detector=detect, annotate=False, checkpoint_every=5)
    assert (tmp_path / "checkpoint.npz").is_file()
    track(clip(), tmp_path, detector=detect, annotate=False)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_another_runs_checkpoint_is_refused(tmp_path):
    track(clip(), tmp_path, detector=detect, annotate=False, checkpoint_every=5, progress=stop_at(7))
    with pytest.raises(ValueError, match=r"checkpoint.npz: cannot resume, the run had tracker sort, now it is ocsort"):
        track(clip(), tmp_path, detector=detect, tracker="ocsort", annotate=False, resume=True)
    with pytest.raises(ValueError, match=r"the run had detector a function .*fp32, now it is a function .*bf16"):
        track(clip(), tmp_path, detector=detect, annotate=False, resume=True, precision="bf16")
    os.truncate(tmp_path / "tracks.txt", 10)
    with pytest.raises(ResultError, match=r"tracks.txt: cannot go on after byte"):
        track(clip(), tmp_path, detector=detect, annotate=False, resume=True)


def test_why_a_detector_was_chosen_may_change(tmp_path, monkeypatch):
    """A run that found the network down goes on when it is down in another way."""
    monkeypatch.setattr("vidperc.choose.cached_path", lambda url: tmp_path / "not there")
    options = {"tracker": "tracktor", "annotate": False, "checkpoint_every": 5}
    for problem in ("it snows", "it rains"):
        monkeypatch.setattr("vidperc.choose.download_problem", lambda url, problem=problem: problem)
        stop = stop_at(7) if problem == "it snows" else None
        result = track(synthetic(), tmp_path, progress=stop, resume=stop is None, **options)
        assert problem in result.detector
    assert (result.frames, result.resumed) == (LENGTH, 5)


def test_a_state_that_cannot_be_saved_is_told_at_once(tmp_path):
    with pytest.raises(TypeError, match="background: a BackgroundSubtractorMOG2 cannot be saved"):
        track(clip(), tmp_path, detector="motion", annotate=False, checkpoint_every=5)


def test_a_live_source_cannot_be_resumed(tmp_path):
    with pytest.raises(ValueError, match="live: a run on it cannot be resumed"):
        track(iter(clip()), tmp_path, detector=detect, annotate=False, resume=True)


class Delayed(SequenceModel):
    """Two frames late: the brightest value of the frame it predicts, counted over all frames so far."""

    lookahead = 2

    def init_state(self, video=None):
        return {"seen": [], "total": 0}

    def answer(self, state):
        state["total"] += state["seen"].pop(0)
        return Instances(torch.zeros(1, 4), ids=torch.tensor([state["total"]]))

    def step(self, frame, state):
        state["seen"].append(int(frame.image.max()))
        return self.answer(state) if len(state["seen"]) > 2 else None

    def finish(self, state):
        return [self.answer(state) for _ in range(len(state["seen"]))]


@pytest.mark.parametrize("every", [3, LENGTH - 2, LENGTH])
def test_frames_that_wait_are_saved_too(every, tmp_path):
    video, model, path = Video(clip()), Delayed(), tmp_path / "c.npz"
    expected = [(frame.index, int(found.ids)) for frame, found in Stream(model, video)]
    assert [index for index, _ in expected] == list(range(LENGTH))
    with MotWriter(tmp_path / "a.txt") as text, JsonWriter(tmp_path / "a.json") as json:
        stream = Stream(model, video)
        save = Checkpoints(path, every, {}, stream, text, json)
        for frame, found in stream:
            save(frame, found)
    resumed = [(frame.index, int(found.ids)) for frame, found in Stream(model, video, read_checkpoint(path, {}))]
    assert resumed == expected[-len(resumed) :]
    assert len(resumed) == LENGTH - (LENGTH - 2) // every * every  # none is saved while the last two come
