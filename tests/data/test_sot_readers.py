"""Readers of single-object benchmarks on small copies of their layouts, and on real samples."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vidperc.data.problems import DataError
from vidperc.data.readers.got10k import read_got10k
from vidperc.data.readers.lasot import read_lasot
from vidperc.data.readers.otb import read_otb, read_otb_json
from vidperc.data.readers.trackingnet import read_trackingnet
from vidperc.data.readers.uav123 import read_uav123
from vidperc.data.readers.vot import as_polygons, read_vot, upright_box


def pictures(folder, count, name="{:04d}.jpg", first=1):
    folder.mkdir(parents=True)
    for number in range(first, first + count):
        cv2.imwrite(str(folder / name.format(number)), np.zeros((4, 6, 3), np.uint8))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_otb_separators_objects_and_first_pictures(tmp_path):
    pictures(tmp_path / "Jogging/img", 2)
    write(tmp_path / "Jogging/groundtruth_rect.1.txt", "1,2,3,4\n2,3,4,5\n")
    write(tmp_path / "Jogging/groundtruth_rect.2.txt", "1\t2\t3\t4\n2 3 4 5\n")
    pictures(tmp_path / "David/img", 4, first=298)
    write(tmp_path / "David/groundtruth_rect.txt", "5,6,7,8\n5,6,7,8\n")
    david, first, second = read_otb(tmp_path)
    assert [first.name, second.name] == ["Jogging-1", "Jogging-2"]
    assert second.instances[1].boxes.tolist() == [[2, 3, 6, 8]]
    assert [path.stem for path in david.frames] == ["0300", "0301"]
    (second,) = read_otb(tmp_path, ["Jogging-2"])
    assert (second.name, len(second.frames)) == ("Jogging-2", 2)
    with pytest.raises(DataError, match=r"Jogging/groundtruth_rect\.3\.txt: no such file"):
        read_otb(tmp_path, ["Jogging-3"])


def test_otb_pictures_without_truth_are_left_out(tmp_path):
    """The truth of Football1, Freeman3 and Freeman4 may end before their pictures do; Human4's is numbered 2."""
    pictures(tmp_path / "Freeman4/img", 5)
    write(tmp_path / "Freeman4/groundtruth_rect.txt", "1,2,3,4\n" * 3)
    pictures(tmp_path / "Human4/img", 2)
    write(tmp_path / "Human4/groundtruth_rect.2.txt", "1,2,3,4\n" * 2)
    pictures(tmp_path / "BlurCar3/img", 3, first=3)
    write(tmp_path / "BlurCar3/groundtruth_rect.txt", "1,2,3,4\n" * 3)
    blur, freeman, human = read_otb(tmp_path)
    assert [path.stem for path in freeman.frames] == ["0001", "0002", "0003"]
    assert (blur.frames[0].stem, len(blur.frames)) == ("0003", 3)
    assert (human.name, read_otb(tmp_path, ["Human4-2"])[0].name) == ("Human4", "Human4-2")


def test_lasot_absence(tmp_path):
    folder = tmp_path / "cat/cat-3"
    pictures(folder / "img", 3, "{:08d}.jpg")
    write(folder / "groundtruth.txt", "1,1,2,2\n0,0,0,0\n1,1,2,2\n")
    write(folder / "full_occlusion.txt", "0,0,1")
    write(folder / "out_of_view.txt", "0,1,0")
    write(tmp_path / "testing_set.txt", "cat-3\n")
    record = read_lasot(tmp_path, "test")[0]
    assert record.attributes["absent"].tolist() == [False, True, True]
    assert record.attributes["category"] == "cat"
    assert sorted(record.instances) == [0, 2]
    assert record.instances[2].ignored.tolist() == [True]


def test_uav123_parts_of_videos(tmp_path):
    pictures(tmp_path / "data_seq/UAV123/bird1", 5, "{:06d}.jpg")
    write(tmp_path / "anno/UAV123/bird1_2.txt", "1,1,2,2\nNaN,NaN,NaN,NaN\n1,1,2,2\n")
    with pytest.raises(DataError, match=r"configSeqs\.m"):
        read_uav123(tmp_path)
    write(
        tmp_path / "configSeqs.m",
        "tens={struct('name','bird1_2','path','C:\\UAV123_10fps\\bird1\\','startFrame',1,'endFrame',2,'nz',6,'ext','jpg'),};"
        "seqs={struct('name','bird1_2','path','C:\\UAV123\\bird1\\','startFrame',3,'endFrame',5,'nz',6,'ext','jpg'),};",
    )
    record = read_uav123(tmp_path)[0]
    assert [path.stem for path in record.frames] == ["000003", "000004", "000005"]
    assert record.attributes["absent"].tolist() == [False, True, False]


def test_trackingnet_test_set_has_first_boxes_only(tmp_path):
    pictures(tmp_path / "TEST/frames/abc_0", 12, "{}.jpg", first=0)
    write(tmp_path / "TEST/anno/abc_0.txt", "1.5,2,3,4\n")
    record = read_trackingnet(tmp_path)[0]
    assert [path.stem for path in record.frames][9:] == ["9", "10", "11"]
    assert list(record.instances) == [0] and record.length == 12
    with pytest.raises(DataError, match="TRAIN_0"):
        read_trackingnet(tmp_path, "train", [0])


def test_got10k_cover_and_size(tmp_path):
    folder = tmp_path / "val/GOT-10k_Val_000001"
    pictures(folder, 3, "{:08d}.jpg")
    write(folder / "groundtruth.txt", "1.0,1.0,2.0,2.0\n" * 3)
    write(folder / "absence.label", "0\n1\n0\n")
    write(folder / "cover.label", "8\n3\n0\n")
    write(folder / "meta_info.ini", "[METAINFO]\nurl: a%b\nobject_class: dog\nresolution: (6, 4)\n")
    write(tmp_path / "val/list.txt", "GOT-10k_Val_000001\n")
    record = read_got10k(tmp_path)[0]
    assert record.size == (4, 6) and record.attributes["category"] == "dog"
    assert record.attributes["cover"].tolist() == [8, 3, 0]
    assert [bool(record.instances[frame].ignored) for frame in range(3)] == [False, True, True]


def test_vot_regions(tmp_path):
    pictures(tmp_path / "ball/color", 2, "{:08d}.jpg")
    write(tmp_path / "ball/groundtruth.txt", "1,1,3,1,3,3,1,3\n2,0,4,2,2,4,0,2\n")
    write(tmp_path / "ball/occlusion.tag", "0\n1\n")
    write(tmp_path / "list.txt", "ball\n")
    record = read_vot(tmp_path)[0]
    assert record.attributes["polygons"].shape == (2, 4, 2)
    assert record.attributes["tags"]["occlusion"].tolist() == [False, True]
    # a diamond of diagonal 4 has the area of a square of side 2.828, and is started one pixel larger
    assert upright_box(record.attributes["polygons"])[1, 2:] == pytest.approx([8**0.5 + 1] * 2)
    write(tmp_path / "ball/groundtruth.txt", "1,1,3,3\nnan,nan,nan,nan\n")  # long-term challenges: not in the picture
    record = read_vot(tmp_path)[0]
    assert record.attributes["absent"].tolist() == [False, True]
    assert as_polygons(np.array([[1.0, 2, 3, 4]]))[0].tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]


@pytest.mark.parametrize(
    ("text", "message"),
    [("1,2,3\n", r"rect\.txt:1: expected 4 numbers, got 3"), ("1,2,3,4\na,b,c,d\n", r"rect\.txt:2: expected numbers"),
     ("", "no lines"), ("0,0,0,0\n", "first frame has no box"), ("1,2,3,4\n" * 3, "3 boxes for 2 pictures")],
)  # fmt: skip
def test_broken_truth(tmp_path, text, message):
    pictures(tmp_path / "A/img", 2)
    write(tmp_path / "A/groundtruth_rect.txt", text)
    with pytest.raises(DataError, match=message):
        read_otb(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_otb(tmp_path / "nowhere")


def test_real_samples(data_root):
    if not (data_root / "sot").is_dir():
        pytest.skip("no single-object samples")
    record = read_otb(data_root / "sot/OTB")[0]
    assert record.name == "Crossing" and len(record.frames) == 120
    from_json = read_otb_json(data_root / "sot/OTB/OTB2015.json", data_root / "sot/OTB", ["Crossing"])[0]
    assert [path.name for path in from_json.frames] == [path.name for path in record.frames]
    same = [np.array_equal(from_json.instances[i].boxes, record.instances[i].boxes) for i in record.instances]
    assert all(same)
    ball = read_vot(data_root / "sot/VOT2015")[0]
    assert len(ball.frames) == 41 and set(ball.attributes["tags"]) >= {"occlusion", "size_change"}


def test_a_long_record_is_small():
    """Truth and names of its pictures are arrays; objects and paths are made when they are asked for."""
    import pickle
    from pathlib import Path

    from vidperc.data.readers.sot_files import sot_record
    from vidperc.data.single_truth import PictureFiles

    count = 5000
    files = PictureFiles(Path("a/frames"), [f"{k}.jpg" for k in range(count)])
    boxes = np.tile([10.0, 20, 30, 40], (count, 1))
    boxes[7] = np.nan
    record = sot_record("long", files, boxes, absent=np.arange(count) == 9)
    assert len(pickle.dumps(record)) < 60 * count
    assert record.frames[3] == Path("a/frames/3.jpg") and list(record.frames[-2:]) == [*files][-2:]
    truth = record.instances
    assert len(truth) == count - 1 and 7 not in truth and truth.get(7) is None and max(truth) == count - 1
    assert truth[8].boxes.tolist() == [[10, 20, 40, 60]] and not truth[8].ignored
    assert bool(truth[9].ignored)
    assert truth.visible().tolist() == [k for k in range(count) if k not in (7, 9)]
    with pytest.raises(KeyError):
        truth[-1]
