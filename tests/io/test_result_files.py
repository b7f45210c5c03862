"""MOTChallenge rows, tracks.json, COCO detections and submissions."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch

from vidperc.export.motchallenge import SubmissionError, check_results, write_submission
from vidperc.io import (
    JsonWriter,
    MotWriter,
    ResultError,
    ResultWarning,
    read_coco_detections,
    read_detections,
    read_mot,
)
from vidperc.structures import Instances


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def tracks(*boxes: list[float]) -> Instances:
    count = len(boxes)
    return Instances(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        ids=torch.arange(count) + 1,
        scores=torch.full((count,), 0.5),
        labels=torch.full((count,), 2),
    )


def test_read(tmp_path: Path) -> None:
    table = read_mot(written(tmp_path / "gt.txt", "3,1,10.5,20,5,6,1,2,0.25\n1,4,1,2,3,4,0,1,1\n\n3,2,0,0,1,1,1,2,1\n"))
    assert table.frames.tolist() == [0, 2, 2]
    assert table.ids.tolist() == [4, 1, 2]
    assert table.boxes.tolist() == [[1, 2, 4, 6], [10.5, 20, 15.5, 26], [0, 0, 1, 1]]
    assert table.classes.tolist() == [1, 2, 2]
    truth = table.as_ground_truth()
    assert list(truth) == [0, 2]
    assert truth[0].ignored.tolist() == [True]
    assert truth[2].labels.tolist() == [1, 1]
    assert truth[2].visibilities.tolist() == [0.25, 1]


@pytest.mark.parametrize(
    "text", ["1,-1,5,6,7,8,0.9\n", "1 -1 5 6 7 8 0.9\n", "1\t-1\t5\t6\t7\t8\t.9", "1, -1, 5, 6, 7, 8, .9"]
)
def test_separators(tmp_path: Path, text: str) -> None:
    found = read_mot(written(tmp_path / "det.txt", text)).as_detections()
    assert found[0].boxes.tolist() == [[5, 6, 12, 14]]
    assert found[0].scores.tolist() == pytest.approx([0.9])
    assert (found[0].labels.tolist(), found[0].ids) == ([0], None)


def test_empty_file(tmp_path: Path) -> None:
    table = read_mot(written(tmp_path / "det.txt", "\n"))
    assert len(table) == 0
    assert table.as_tracks() == {}


GOOD = "1,1,5,6,7,8,1,1,1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD * 2 + "2,1,5,6,7\n", "line 3: 5 columns, 9 in the rows before"),
        (GOOD + "\n2,1,5,six,7,8,1,1,1\n", "line 3: y is 'six', expected a number"),
        (GOOD + "2,1,5,,7,8,1,1,1\n", "line 2: y is '', expected a number"),
        (GOOD + "\n\n2,1,nan,6,7,8,1,1,1\n", "line 4: x is nan, expected a finite number"),
        (GOOD + "2,1,5,6,inf,8,1,1,1\n", "line 2: width is inf, expected a finite number"),
        (GOOD + "0,1,5,6,7,8,1,1,1\n", "line 2: frame is 0, expected 1 or more"),
        (GOOD + "2,1.5,5,6,7,8,1,1,1\n", "line 2: id is 1.5, expected a whole number"),
        ("1,1,5,6\n", "line 1: 4 columns, at least 6"),
        ("frame,id\n", "line 1: frame is 'frame', expected a number"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ResultError, match=rf"det\.txt, {message}"):
        read_mot(written(tmp_path / "det.txt", text))


def test_rows_without_area_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "det.txt", GOOD + "2,1,5,6,-7,8,1,1,1\n3,1,5,6,7,0,1,1,1\n")
    with pytest.warns(ResultWarning, match=r"2 rows without width or height left out, the first in line 2"):
        assert read_mot(path).frames.tolist() == [0]


def test_real_files(data_root: Path) -> None:
    folder = data_root / "mot" / "MOT15" / "train" / "PETS09-S2L1"
    truth = read_mot(folder / "gt" / "gt.txt")
    lines = (folder / "gt" / "gt.txt").read_text().split()
    assert len(truth) == len(lines)
    first = [float(value) for value in lines[0].split(",")]
    assert any(box == [first[2], first[3], first[2] + first[4], first[3] + first[5]] for box in truth.boxes.tolist())
    assert sum(map(len, read_detections(folder / "det" / "det.txt").values())) > 1000


def test_mot_round_trip(tmp_path: Path) -> None:
    with MotWriter(tmp_path / "out" / "tracks.txt") as writer:
        writer.write(0, tracks([1, 2, 4, 6], [10.25, 20, 30, 40]))
        writer.write(1, Instances.empty())
        writer.write(4, tracks([0, 0, 5, 5]))
    assert (tmp_path / "out" / "tracks.txt").read_text().splitlines()[0] == "1,1,1.000,2.000,3.000,4.000,0.5,3,-1"
    found = read_mot(tmp_path / "out" / "tracks.txt").as_tracks()
    assert {frame: objects.ids.tolist() for frame, objects in found.items()} == {0: [1, 2], 4: [1]}
    assert found[0].boxes.tolist() == [[1, 2, 4, 6], [10.25, 20, 30, 40]]
    assert found[0].labels.tolist() == [2, 2]
    assert found[0].scores.tolist() == [0.5, 0.5]


def test_json_is_whole_after_every_frame(tmp_path: Path) -> None:
    path = tmp_path / "tracks.json"
    writer = JsonWriter(path, name='a "clip"', fps=25, size=(48, 64), classes=["car", "person", "dog"])
    assert json.loads(path.read_text())["frames"] == []
    for index in range(3):
        writer.write(index, tracks([1, 2, 4, 6])[: index % 2], time=index / 25)
        content = json.loads(path.read_text())
        assert [row["frame"] for row in content["frames"]] == list(range(index + 1))
    assert content["video"] == {"name": 'a "clip"', "fps": 25, "size": [48, 64]}
    assert content["classes"][2] == "dog"
    assert content["frames"][1] == {
        "frame": 1,
        "time": 0.04,
        "objects": [{"id": 1, "label": 2, "score": 0.5, "box": [1, 2, 4, 6]}],
    }
    writer.close()


@pytest.mark.parametrize("writer", [MotWriter, JsonWriter])
def test_writers_refuse_what_is_wrong_and_keep_the_rest(tmp_path: Path, writer: type) -> None:
    with writer(tmp_path / "out") as open_writer:
        open_writer.write(0, tracks([1, 2, 4, 6]))
        before = (tmp_path / "out").read_text()
        with pytest.raises(ResultError, match=r"frame 1: box 0 is not finite"):
            open_writer.write(1, tracks([float("nan"), 2, 4, 6]))
        with pytest.raises(ResultError, match=r"frame 2: box 0 is inverted"):
            open_writer.write(2, tracks([5, 2, 4, 6]))
        with pytest.raises(ResultError, match="frame 0 after frame 2: frames must come in order"):
            open_writer.write(0, tracks([1, 2, 4, 6]))
    assert (tmp_path / "out").read_text() == before


@pytest.mark.parametrize("writer", [MotWriter, JsonWriter])
def test_writer_on_a_full_disk(writer: type) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with pytest.raises(ResultError, match=r"/dev/full: cannot be written \(No space left"):
        writer("/dev/full").write(0, tracks([1, 2, 4, 6]))


def test_coco_detections(tmp_path: Path) -> None:
    rows = [
        {"image_id": 11, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5},
        {"image_id": 10, "category_id": 3, "bbox": [5, 6, 7, 8], "score": 0.25},
    ]
    path = written(tmp_path / "det.json", json.dumps(rows))
    found = read_coco_detections(path, first_image=10)
    assert list(found) == [0, 1]
    assert found[1].boxes.tolist() == [[1, 2, 4, 6]]
    assert found[0].labels.tolist() == [3]
    content = {
        "images": [{"id": 10, "frame_id": 4}, {"id": 11, "frame_id": 2}],
        "annotations": rows,
        "categories": [{"id": 7}, {"id": 3}],
    }
    found = read_detections(written(tmp_path / "both.json", json.dumps(content)))
    assert {frame: objects.labels.tolist() for frame, objects in found.items()} == {2: [1], 4: [0]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image_id": 1, "bbox": [1, 2, 3]}, "entry 0: expected a bbox"),
        ({"image_id": 1, "bbox": [1, 2, 3, float("nan")]}, "entry 0: expected a bbox"),
        ({"image_id": 1, "bbox": [1, 2, 0, 4]}, "entry 0: bbox .* has no width"),
        ({"bbox": [1, 2, 3, 4]}, "entry 0: no 'image_id'"),
        ({"image_id": "a.jpg", "bbox": [1, 2, 3, 4]}, "entry 0: image_id 'a.jpg' is no frame number"),
    ],
)
def test_broken_coco_entries(tmp_path: Path, row: dict, message: str) -> None:
    with pytest.raises(ResultError, match=rf"det\.json, {message}"):
        read_coco_detections(written(tmp_path / "det.json", json.dumps([row])))


def test_broken_json(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"det\.json, line 2: not json"):
        read_coco_detections(written(tmp_path / "det.json", "[\n{]"))


# --- submissions --------------------------------------------------------------------------------


def test_submission(tmp_path: Path) -> None:
    one = written(tmp_path / "one.txt", "1,1,5,6,7,8,1,-1,-1,-1\n5,1,5,6,7,8,1,-1,-1,-1\n")
    two = written(tmp_path / "two.txt", "")
    path = write_submission(tmp_path / "out" / "mot.zip", {"B": two, "A": one}, {"A": 5, "B": 3})
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["A.txt", "B.txt"]
        assert archive.read("A.txt") == one.read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,1,5,6,7,8,1\n6,1,5,6,7,8,1\n", "line 2: the frame is after the last one, 5"),
        ("1,1,5,6,7,8,1\n\n1,1,9,6,7,8,1\n", "line 3: the frame has this id already"),
        ("1,1,5,6,nan,8,1\n", "line 1: width is nan"),
        ("1,1,5,6,7,-8,1\n", "line 1: the width or height is not above 0"),
        ("1,-1,5,6,7,8,1\n2,-1,5,6,7,8,1\n", "line 1: the id is below 1 (and in 1 more rows)"),
        ("0,1,5,6,7,8,1\n", "line 1: frame is 0"),
    ],
)
def test_a_bad_submission_is_not_written(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path / "A.txt", text)
    problems = check_results(path, 5)
    assert len(problems) == 1
    assert message in problems[0]
    with pytest.raises(SubmissionError) as error:
        write_submission(tmp_path / "mot.zip", {"A": path, "C": path}, {"A": 5, "B": 9})
    assert message in str(error.value)
    assert "B: no results" in str(error.value)
    assert "C: no sequence" in str(error.value)
    assert not (tmp_path / "mot.zip").exists()
