"""The demo that follows an object: what it writes, and what its errors name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidperc import Video


@pytest.fixture(scope="module")
def demo():
    path = Path(__file__).parents[1] / "demo" / "track_object.py"
    spec = importlib.util.spec_from_file_location("track_object", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    """Two pictures of 80x60 and one of 64x48."""
    (tmp_path / "street").mkdir()
    for number, size in enumerate(((60, 80), (60, 80), (48, 64))):
        picture = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "street" / f"{number}.png"), picture)
    return tmp_path / "street"


def test_frames_that_change_size_are_followed_and_written(demo, folder, tmp_path):
    out = tmp_path / "out.mp4"
    assert (
        demo.main([str(folder), "--box", "20", "10", "30", "30", "--box", "5", "5", "9", "9", "--out", str(out)]) == 0
    )
    lines = [line.split(",") for line in (tmp_path / "out.txt").read_text().splitlines()]
    assert [int(line[0]) for line in lines] == [1, 1, 2, 2, 3, 3]
    assert lines[0][1:] == ["20.00", "10.00", "30.00", "30.00", "1.0000", "confirmed"]
    written = Video(out)
    assert (len(written), written.size) == (3, (60, 80))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (["90", "0", "5", "5"], r"street: prompt: box 0 \[90\.0, 0\.0, 95\.0, 5\.0\] lies outside of frame 0, 80x60"),
        (["9", "9", "0", "5"], r"street, first frame: prompt: box 0 has no area .*\[9\.0, 9\.0, 9\.0, 14\.0\]"),
        (["nan", "9", "5", "5"], r"street, first frame: prompt: box 0 is not finite: \[nan, 9\.0"),
    ],
)
def test_a_wrong_box_is_named_with_its_video_and_leaves_no_file(demo, folder, tmp_path, box, message):
    with pytest.raises(ValueError, match=message):
        demo.main([str(folder), "--box", *box, "--out", str(tmp_path / "out.mp4")])
    assert not (tmp_path / "out.mp4").exists()
