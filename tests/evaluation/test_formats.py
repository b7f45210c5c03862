"""Readers of tracks, and what they say about broken input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vidperc import Instances
from vidperc.evaluation import Tracks, read_kitti, read_mot, read_scalabel, read_tracks

MOT17_ROWS = """1,1,10,20,30,40,1,1,1
2,1,11,20,30,40,0,1,0.5
2,7,50,60,10,10,0,8,1
"""


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


class TestMOT:
    def test_ground_truth(self, tmp_path):
        tracks = read_mot(write(tmp_path / "gt.txt", MOT17_ROWS), "a", truth=True)
        assert tracks.frames.tolist() == [0, 1, 1]
        assert tracks.ids.tolist() == [1, 1, 7]
        assert tracks.boxes.tolist() == [[10, 20, 40, 60], [11, 20, 41, 60], [50, 60, 60, 70]]
        assert tracks.ignored.tolist() == [False, True, True]
        assert tracks.labels.tolist() == [1, 1, 8]
        assert tracks.layout == "mot"

    def test_mot15_has_no_classes(self, tmp_path):
        file = write(tmp_path / "gt.txt", "1,1,0,0,5,5,1,-3.1,16.3,0.4\n1,2,0,0,5,5,0,-1,-1,-1\n")
        tracks = read_mot(file, truth=True)
        assert (tracks.layout, tracks.labels, tracks.ignored.tolist()) == ("mot15", None, [False, True])

    def test_results_in_any_order_of_frames(self, tmp_path):
        file = write(tmp_path / "a.txt", "2,3,0,0,5,5,1,-1,-1,-1\n\n1,4,1,0,5,5,1,-1,-1,-1\n2,1,2,0,5,5,1,-1,-1,-1\n")
        tracks = read_mot(file)
        assert tracks.frames.tolist() == [0, 1, 1]
        assert tracks.ids.tolist() == [4, 3, 1]
        assert tracks.boxes[:, 0].tolist() == [1, 0, 2]

    @pytest.mark.parametrize("text", ["", "\n\n"])
    def test_empty_file(self, tmp_path, text):
        tracks = read_mot(write(tmp_path / "a.txt", text))
        assert tracks.boxes.shape == (0, 4)
        assert tracks.num_frames == 0

    @pytest.mark.parametrize("separator", [",", ", ", " ", "\t"])
    def test_separators(self, tmp_path, separator):
        file = write(tmp_path / "a.txt", separator.join(["1", "2", "3.5", "4", "5", "6e1", "0.9"]) + "\n")
        assert read_mot(file).boxes.tolist() == [[3.5, 4, 8.5, 64]]

    def test_rows_of_different_length(self, tmp_path):
        file = write(tmp_path / "a.txt", "1,1,0,0,5,5,1,-1,-1,-1\n2,1,0,0,5,5,1\n3,1,0,0,5,5,1,\n")
        assert read_mot(file).frames.tolist() == [0, 1, 2]

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            ("2,1,0,0,x,5,1", "line 3: could not convert string to float: 'x'"),
            ("2,1,0,0", "line 3: expected at least 6 columns, got '2,1,0,0'"),
            ("2,1,0,0,nan,5,1", "line 3: expected whole frame and id and a finite box"),
            ("2,1,0,0,inf,5,1", "line 3: expected whole frame and id and a finite box"),
            ("2.5,1,0,0,5,5,1", "line 3: expected whole frame and id and a finite box"),
        ],
    )
    def test_broken_row_is_named(self, tmp_path, row, problem):
        file = write(tmp_path / "bad.txt", f"1,1,0,0,5,5,1\n\n{row}\n3,1,0,0,5,5,1\n")
        with pytest.raises(ValueError, match="bad.txt, " + problem):
            read_mot(file)

    def test_not_a_text_file(self, tmp_path):
        file = tmp_path / "a.txt"
        file.write_bytes(b"\xff\xfe\x00\x81")
        with pytest.raises(ValueError, match=r"a\.txt: not a text file"):
            read_mot(file)


class TestKITTI:
    ROWS = (
        "0 -1 DontCare -1 -1 -10 5 5 9 9 -1000 -1000 -1000 -10 -1 -1 -1\n"
        "0 3 Car 1 2 -1.9 10 20 30.5 40 1 1 1 1 1 1 1\n"
        "1 4 Person 0 0 -1.9 1 2 3 4 1 1 1 1 1 1 1\n"
    )

    def test_ground_truth(self, tmp_path):
        tracks = read_kitti(write(tmp_path / "0001.txt", self.ROWS), truth=True)
        assert tracks.labels.tolist() == ["car", "person"]
        assert tracks.boxes[0].tolist() == [10, 20, 30.5, 40]
        assert (tracks.truncations.tolist(), tracks.occlusions.tolist()) == ([1, 0], [2, 0])
        assert tracks.regions.boxes.tolist() == [[5, 5, 9, 9]]

    def test_broken_row_is_named(self, tmp_path):
        file = write(tmp_path / "0001.txt", self.ROWS + "2 4 Car 0 0 -1.9 1 2 nan 4 1 1 1 1 1 1 1\n")
        with pytest.raises(ValueError, match=r"0001\.txt, line 4: a value is not finite"):
            read_kitti(file)
        file.write_text(self.ROWS + "2 4 Car 0 0 -1.9 1 2\n")
        with pytest.raises(ValueError, match=r"0001\.txt, line 4: .* in '2 4 Car"):
            read_kitti(file)


def label(identity, category="car", **extra):
    return {"id": identity, "category": category, "box2d": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}} | extra


class TestScalabel:
    def test_crowds_and_other_classes_are_regions(self, tmp_path):
        frames = [
            {"name": "a-1.jpg", "videoName": "a", "frameIndex": 1, "labels": [label("x"), label("y", "trailer")]},
            {"name": "a-0.jpg", "videoName": "a", "frameIndex": 0, "labels": None},
            {"name": "b-0.jpg", "videoName": "b", "frameIndex": 0, "labels": [label("x", attributes={"crowd": True})]},
        ]
        file = write(tmp_path / "all.json", json.dumps({"frames": frames}))
        tracks = read_scalabel([file], truth=True)
        assert list(tracks) == ["a", "b"]
        assert tracks["a"].frames.tolist() == [1]
        assert (len(tracks["a"].regions), len(tracks["b"]), len(tracks["b"].regions)) == (1, 0, 1)
        assert tracks["a"].length == 2
        assert len(read_scalabel([file], truth=False)["b"]) == 1

    def test_polygons_and_run_lengths_are_masks(self, tmp_path):
        from pycocotools import mask as coco

        square = {"vertices": [[10, 10], [30, 10], [30, 30], [10, 30]], "types": "LLLL", "closed": True}
        bitmap = np.zeros((720, 1280), np.uint8, order="F")
        bitmap[10:30, 10:30] = 1
        rle = coco.encode(bitmap)
        rle["counts"] = rle["counts"].decode()
        labels = [
            {"id": "1", "category": "car", "box2d": None, "poly2d": [square]},
            {"id": "2", "category": "car", "rle": rle},
        ]
        file = write(tmp_path / "a.json", json.dumps([{"name": "0", "videoName": "a", "labels": labels}]))
        tracks = read_scalabel([file], truth=False)["a"]
        assert coco.area(list(tracks.masks)).tolist() == [400, 400]
        np.testing.assert_allclose(tracks.boxes, [[10, 10, 30, 30]] * 2)

    def test_curves_of_polygons(self, tmp_path):
        """Four cubic curves with the usual control distance make a circle of radius 100."""
        from pycocotools import mask as coco

        k, vertices = 55.22847, []
        for angle in range(4):
            c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][angle]
            for x, y in ((100, 0), (100, k), (k, 100)):
                vertices.append([300 + c * x - s * y, 300 + s * x + c * y])
        circle = {"vertices": vertices, "types": "LCC" * 4, "closed": True}
        frames = [{"name": "0", "videoName": "a", "labels": [{"id": "1", "category": "car", "poly2d": [circle]}]}]
        tracks = read_scalabel([write(tmp_path / "a.json", json.dumps(frames))], truth=False)["a"]
        assert float(coco.area(list(tracks.masks))[0]) == pytest.approx(np.pi * 100**2, rel=0.01)

    @pytest.mark.parametrize(
        ("labels", "problem"),
        [
            ([label("7"), label("7")], "label 7: the id occurs more than once in this frame of 'a'"),
            ([label("7", box2d={"x1": 1, "y1": 2, "x2": 3})], "label 7: box2d lacks or has a bad 'y2'"),
            ([label("7", box2d={"x1": 1, "y1": 2, "x2": 3, "y2": None})], "label 7: box2d lacks or has a bad"),
            ([label("7", box2d={"x1": 1, "y1": 2, "x2": 3, "y2": float("nan")})], "label 7: box2d is not finite"),
        ],
    )
    def test_broken_labels_are_named(self, tmp_path, labels, problem):
        file = write(tmp_path / "a.json", json.dumps([{"name": "a-0.jpg", "videoName": "a", "labels": labels}]))
        with pytest.raises(ValueError, match=r"a\.json, frame 'a-0.jpg', " + problem):
            read_scalabel([file], truth=True)

    def test_not_json(self, tmp_path):
        with pytest.raises(ValueError, match=r"a\.json: not valid json"):
            read_scalabel([write(tmp_path / "a.json", "[{")], truth=True)
        with pytest.raises(ValueError, match=r"a\.json: expected a list of frames"):
            read_scalabel([write(tmp_path / "a.json", "{}")], truth=True)


class TestSources:
    def test_folder_of_sequences(self, tmp_path):
        write(tmp_path / "one/gt/gt.txt", MOT17_ROWS)
        write(tmp_path / "two/gt/gt.txt", MOT17_ROWS)
        write(tmp_path / "two/seqinfo.ini", "[Sequence]\nname=two\nseqLength=9\n")
        tracks = read_tracks(tmp_path, truth=True)
        assert {name: t.num_frames for name, t in tracks.items()} == {"one": 2, "two": 9}

    def test_one_sequence(self, tmp_path):
        write(tmp_path / "one/gt/gt.txt", MOT17_ROWS)
        assert list(read_tracks(tmp_path / "one", truth=True)) == ["one"]
        assert list(read_tracks(tmp_path / "one/gt/gt.txt", truth=True)) == ["one"]

    def test_folder_of_results_and_folder_as_trackeval_keeps_them(self, tmp_path):
        write(tmp_path / "data/one.txt", "1,1,0,0,5,5,1,-1,-1,-1\n")
        write(tmp_path / "pedestrian_summary.txt", "HOTA DetA\n1 2\n")
        assert list(read_tracks(tmp_path, truth=False)) == ["one"]
        assert list(read_tracks(tmp_path / "data", truth=False)) == ["one"]

    def test_kitti_lengths_from_the_seqmap(self, tmp_path):
        write(tmp_path / "label_02/0001.txt", TestKITTI.ROWS)
        write(tmp_path / "evaluate_tracking.seqmap.training", "0001 empty 000000 000447\n")
        tracks = read_tracks(tmp_path, truth=True)["0001"]
        assert (tracks.length, tracks.layout) == (447, "kitti")

    def test_instances(self):
        frame = Instances(boxes=torch.tensor([[0.0, 1, 2, 3]]), ids=torch.tensor([5]))
        tracks = read_tracks({"a": [frame, Instances.empty(), frame]}, truth=True)["a"]
        assert (tracks.frames.tolist(), tracks.ids.tolist(), tracks.length) == ([0, 2], [5, 5], 3)
        assert tracks.boxes.dtype == np.float64

    def test_rows(self):
        tracks = read_tracks(np.array([[2, 7, 10, 20, 5, 5.0], [1, 7, 10, 20, 5, 5]]), truth=False)["sequence"]
        assert (tracks.frames.tolist(), tracks.boxes[0].tolist()) == ([0, 1], [10, 20, 15, 25])
        assert len(read_tracks(np.zeros((0, 10)), truth=False)["sequence"]) == 0

    def test_rows_of_ground_truth(self, tmp_path):
        """The same as from the file: marks and classes count."""
        file = write(tmp_path / "gt.txt", MOT17_ROWS)
        read, given = read_mot(file, truth=True), read_tracks(np.loadtxt(file, delimiter=","), truth=True)["sequence"]
        assert given.layout == read.layout == "mot"
        for column in ("frames", "ids", "boxes", "ignored", "labels"):
            assert getattr(given, column).tolist() == getattr(read, column).tolist()

    def test_wrong_sources(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="no such file or folder of predictions"):
            read_tracks(tmp_path / "missing", truth=False)
        with pytest.raises(FileNotFoundError, match=r"expected NAME/gt/gt\.txt"):
            read_tracks(tmp_path, truth=True)
        with pytest.raises(ValueError, match=r"expected rows frame, id, x, y, w, h, got \(3, 4\)"):
            read_tracks({"a": np.zeros((3, 4))}, truth=False)
        with pytest.raises(TypeError, match="predictions of sequence 'a': expected an array or Instances per frame"):
            read_tracks({"a": 3}, truth=False)
        with pytest.raises(TypeError, match="sequence 'a', frame 1: expected Instances, got int"):
            read_tracks({"a": [Instances.empty(), 1]}, truth=False)
        with pytest.raises(ValueError, match="sequence 'a', frame 0: 1 objects without ids"):
            read_tracks({"a": [Instances(boxes=torch.zeros(1, 4))]}, truth=False)


def test_up_to(tmp_path):
    tracks = read_kitti(write(tmp_path / "0001.txt", TestKITTI.ROWS), truth=True)
    first = tracks.up_to(1)
    assert (first.labels.tolist(), first.num_frames, len(first.regions)) == (["car"], 1, 1)
    assert tracks.up_to(7).num_frames == 7


class TestCheck:
    def tracks(self, **changes):
        values = {"frames": np.array([0, 1, 1]), "ids": np.array([4, 4, 5]), "boxes": np.tile([0.0, 0, 5, 5], (3, 1))}
        return Tracks(**values | changes, name="a", source="tracks.txt", first=1)

    def test_valid(self):
        assert len(self.tracks().check(2)) == 3

    def test_duplicate(self):
        with pytest.raises(ValueError, match=r"tracks.txt, sequence 'a', frame 2, id 4: .* more than once"):
            self.tracks(ids=np.array([4, 4, 4])).check()

    def test_outside(self):
        with pytest.raises(ValueError, match="sequence 'a', frame 2, id 4: expected frames 1 to 1"):
            self.tracks().check(1)
        with pytest.raises(ValueError, match="frame -2, id 4: expected frames 1"):
            self.tracks(frames=np.array([-3, 1, 1])).check()

    def test_not_finite(self):
        boxes = np.array([[0, 0, 5, 5], [0, np.nan, 5, 5], [0, 0, 5, 5]])
        with pytest.raises(ValueError, match=r"frame 2, id 4: box .* is not finite"):
            self.tracks(boxes=boxes).check()

    def test_negative_size_is_counted(self):
        boxes = np.array([[0, 0, 5, 5], [9, 0, 5, 5], [0, 9, 5, 5.0]])
        with pytest.warns(UserWarning, match="2 boxes of negative size match nothing, first frame 2, id 4"):
            self.tracks(boxes=boxes).check()
