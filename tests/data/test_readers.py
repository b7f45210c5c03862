"""Readers of detection and tracking benchmarks: true layouts, their pitfalls, and real samples."""

import json
import warnings

import cv2
import numpy as np
import pytest
import torch

from vidperc.data.datasets import ClipDataset, read_frame
from vidperc.data.problems import DataError, DataWarning
from vidperc.data.readers.bdd100k import read_bdd100k
from vidperc.data.readers.coco import decode_mask, read_coco
from vidperc.data.readers.motchallenge import half_split, read_crowdhuman, read_dancetrack, read_mot_sequences
from vidperc.data.readers.pascal import imagenet_vid_mix, read_imagenet_det, read_imagenet_vid, read_voc
from vidperc.evaluation import evaluate, read_scalabel


def picture(path, size=(40, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def coco_file(path, annotations, **more):
    content = {
        "images": [{"id": 7, "file_name": "a.png", "height": 40, "width": 60}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 90, "name": "cat"}],
        "annotations": [{"id": i, "image_id": 7, "category_id": 90, **a} for i, a in enumerate(annotations)],
        **more,
    }
    path.write_text(json.dumps(content))
    return path


# COCO


def test_coco_with_gaps_in_ids_crowds_and_masks(tmp_path):
    picture(tmp_path / "a.png")
    polygon = [10, 10, 20, 10, 20, 30, 10, 30]
    rle = {"size": [40, 60], "counts": [0, 80, 40 * 60 - 80]}  # the first two columns
    path = coco_file(
        tmp_path / "x.json",
        [
            {"bbox": [10, 10, 10, 20], "segmentation": [polygon]},
            {"bbox": [0, 0, 2, 40], "segmentation": rle, "iscrowd": 1, "category_id": 3},
        ],
    )
    (record,) = read_coco(path, tmp_path, masks=True)
    assert record.classes == ("dog", "cat")
    objects = read_frame(record, 0).instances
    assert objects.boxes.tolist() == [[10, 10, 20, 30], [0, 0, 2, 40]]
    assert objects.labels.tolist() == [1, 0]
    assert objects.ignored.tolist() == [False, True]
    assert objects.masks.flatten(1).sum(1).tolist() == [200, 80]
    assert objects.masks[0, 10:30, 10:20].all()
    (only_cats,) = read_coco(path, tmp_path, classes=["cat"])
    assert only_cats.instances[0].labels.tolist() == [0]


def test_coco_pitfalls_are_counted_and_named(tmp_path):
    path = coco_file(
        tmp_path / "x.json",
        [
            {"bbox": [1, 1, 5, 5]},
            {"bbox": [1, 1, 0, 5]},
            {"bbox": [1, 1, -3, 5]},
            {"bbox": [float("nan"), 1, 3, 5]},
            {"bbox": [100, 1, 3, 5]},
            {"bbox": [1, 1, 5, 5], "image_id": 8},
            {"bbox": []},
            {"bbox": [1, 1, 5, 5], "category_id": 55},
            {"bbox": None},
            {"bbox": [1, "a", 3, 5]},
        ],
    )
    with pytest.warns(DataWarning) as caught:
        (record,) = read_coco(path, tmp_path)
    text = str(caught[0].message)
    for part in (
        "2 empty or inverted boxes (first: annotation 1 of image 7)",
        "1 boxes that are not finite (first: annotation 3 of image 7)",
        "1 boxes outside the picture (first: annotation 4 of image 7)",
        "1 annotations of images that are not listed (first: annotation 5)",
        "1 annotations of categories that are not listed (first: annotation 7)",
        "3 annotations without a box (first: annotation 6)",
        str(path),
    ):
        assert part in text
    assert len(record.instances[0]) == 1


def test_coco_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.json"):
        read_coco(tmp_path / "no.json", tmp_path)
    (tmp_path / "bad.json").write_text("{ half")
    with pytest.raises(DataError, match=r"bad\.json is not JSON"):
        read_coco(tmp_path / "bad.json", tmp_path)
    with pytest.raises(DataError, match=r"x\.json: image 0 has no height, width"):
        read_coco(coco_file(tmp_path / "x.json", [], images=[{"id": 7, "file_name": "a.png"}]), tmp_path)
    with pytest.raises(DataError, match=r"x\.json: category 0 has no id"):
        read_coco(coco_file(tmp_path / "x.json", [], categories=[{"name": "dog"}]), tmp_path)
    with pytest.raises(DataError, match="no category bird"):
        read_coco(coco_file(tmp_path / "x.json", []), tmp_path, classes=["bird"])
    with pytest.raises(DataError, match="a mask of 3x2 on a picture of 5x4"):
        decode_mask({"size": [2, 3], "counts": [0, 6]}, (4, 5), "a")


def test_missing_image_is_a_replaced_sample(tmp_path):
    (record,) = read_coco(coco_file(tmp_path / "x.json", [{"bbox": [1, 1, 5, 5]}]), tmp_path)
    with pytest.raises(DataError, match=r"a\.png, frame 0: .*a\.png: no such file"):
        read_frame(record, 0)
    picture(tmp_path / "b.png")
    content = json.loads((tmp_path / "x.json").read_text())
    content["images"].append({"id": 8, "file_name": "b.png", "height": 40, "width": 60})
    content["annotations"].append({"id": 9, "image_id": 8, "category_id": 3, "bbox": [2, 2, 6, 6]})
    (tmp_path / "y.json").write_text(json.dumps(content))
    data = ClipDataset(read_coco(tmp_path / "y.json", tmp_path))
    assert data[0, 3].video == "b.png"


def test_a_picture_of_another_size_than_its_annotations(tmp_path):
    picture(tmp_path / "a.png", (20, 30))
    (record,) = read_coco(coco_file(tmp_path / "x.json", [{"bbox": [1, 1, 5, 5]}]), tmp_path)
    with pytest.raises(DataError, match=r"frame 0: the picture .*a\.png is 30x20, its annotations are of 60x40"):
        read_frame(record, 0)


def test_cocovid(tmp_path):
    path = coco_file(
        tmp_path / "v.json",
        [
            {"bbox": [1, 1, 5, 5], "image_id": 2, "instance_id": 4},
            {"bbox": [2, 1, 5, 5], "image_id": 1, "instance_id": 4},
        ],
        images=[
            {"id": 1, "file_name": "v/1.png", "height": 40, "width": 60, "video_id": 5, "frame_id": 1},
            {"id": 2, "file_name": "v/0.png", "height": 40, "width": 60, "video_id": 5, "frame_id": 0},
        ],
        videos=[{"id": 5, "name": "v"}],
    )
    (record,) = read_coco(path, tmp_path)
    assert [p.name for p in record.frames] == ["0.png", "1.png"]
    assert record.instances[1].boxes.tolist() == [[2, 1, 7, 6]]
    assert record.instances[1].ids.tolist() == [4]


def test_real_coco(data_root):
    folder = data_root / "det" / "COCO64"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        records = read_coco(folder / "annotations" / "instances.json", folder / "images", masks=True)
    assert len(records) == 64
    checked = 0
    for record in records[:12]:
        frame = read_frame(record, 0)
        assert frame.size == record.size
        for box, mask, crowd in zip(frame.instances.boxes, frame.instances.masks, frame.instances.ignored):
            if crowd or not mask.any():
                continue
            rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
            bounds = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            assert (bounds - box).abs().max() <= 2  # COCO's boxes have fractions, masks do not
            checked += 1
    assert checked > 30


def test_real_imagenet_vid_in_coco_form(data_root):
    folder = data_root / "vid" / "ILSVRC2015_val_00007010"
    records = read_coco(folder / "annotations_6frames_coco.json", folder / "images")
    assert sum(len(record.instances[0]) for record in records) == 42
    assert records[0].classes[0] == "airplane"
    assert read_frame(records[0], 0).size == (720, 1280)


# XML


def xml(path, objects, size=(40, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "".join(
        f"<object><trackid>{track}</trackid><name>{name}</name><difficult>{hard}</difficult><bndbox>"
        f"<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, box, track, hard in objects
    )
    path.write_text(f"<a><size><width>{size[1]}</width><height>{size[0]}</height></size>{body}</a>")


def test_voc(tmp_path):
    xml(tmp_path / "Annotations" / "p.xml", [("cat", (1, 1, 60, 40), 0, 0), ("dog", (3, 4, 9, 9), 0, 1)])
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "trainval.txt").write_text("p\n")
    (record,) = read_voc(tmp_path)
    assert record.instances[0].boxes.tolist() == [[0, 0, 60, 40], [2, 3, 9, 9]]  # pixels count from 1
    assert record.instances[0].labels.tolist() == [7, 11]
    assert record.instances[0].ignored.tolist() == [False, True]
    with pytest.raises(FileNotFoundError, match=r"test\.txt: no such list"):
        read_voc(tmp_path, "test")
    (tmp_path / "Annotations" / "p.xml").write_text("<a><size>")
    with pytest.raises(DataError, match=r"p\.xml is not XML"):
        read_voc(tmp_path)
    xml(tmp_path / "Annotations" / "p.xml", [("cat", (1, "x", 60, 40), 0, 0)])
    with pytest.raises(DataError, match=r"p\.xml: 'bndbox/ymin' in <object> must be a number, got 'x'"):
        read_voc(tmp_path)
    (tmp_path / "Annotations" / "p.xml").write_text("<a></a>")
    with pytest.raises(DataError, match=r"p\.xml: an element 'size/height' is expected"):
        read_voc(tmp_path)


def test_voc_parts_and_fractions(tmp_path):
    """VOC's people have parts with boxes of their own, and files of 2011 and later corners with fractions."""
    xml(tmp_path / "Annotations" / "p.xml", [("person", (1.5, 1, 20, 30), 0, 0)])
    part = "<part><name>head</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></part>"
    text = (tmp_path / "Annotations" / "p.xml").read_text().replace("<bndbox>", part + "<bndbox>")
    (tmp_path / "Annotations" / "p.xml").write_text(text)
    (tmp_path / "ImageSets" / "Main").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Main" / "trainval.txt").write_text("p\n")
    (record,) = read_voc(tmp_path)
    assert record.instances[0].boxes.tolist() == [[0.5, 0, 20, 30]]


def test_imagenet_vid_and_det(tmp_path):
    unknown = ("n99", (1, 1, 5, 5), "", 0)
    for frame in range(40):
        objects = [("n02084071", (frame, 2, frame + 10, 12), 3, 0)] if frame % 2 else []
        xml(tmp_path / "Annotations/VID/train/part/snip" / f"{frame:06d}.xml", objects)
    xml(
        tmp_path / "Annotations/DET/train/n0/a.xml",
        [("n02691156", (1, 2, 30, 30), "", 0), ("n02691156", (1, 2, 9, 9), "", 0), unknown],
    )
    xml(tmp_path / "Annotations/DET/train/n0/b.xml", [unknown])
    (tmp_path / "Data" / "DET").mkdir(parents=True)
    (tmp_path / "ImageSets/DET").mkdir(parents=True)
    (tmp_path / "ImageSets/DET/train_1.txt").write_text("n0/a 1\nn0/b 1\nn0/c -1\nn0/d 1\n")
    (video,) = read_imagenet_vid(tmp_path)
    assert video.name == "part/snip"
    assert len(video.instances) == 40
    assert video.instances[1].ids.tolist() == [3]
    assert video.instances[1].labels.tolist() == [8]
    assert video.frames[1] == tmp_path / "Data/VID/train/part/snip/000001.JPEG"
    with pytest.warns(DataWarning, match="1 images without an annotation file"):
        (image,) = read_imagenet_det(tmp_path)
    assert image.instances[0].labels.tolist() == [0, 0]
    assert image.instances[0].ids is None  # or all objects of a picture would be one
    assert image.frames == [tmp_path / "Data/DET/train/n0/a.JPEG"]
    xml(tmp_path / "Annotations/DET/val/v.xml", [("n02691156", (1, 2, 30, 30), "", 0)])
    (tmp_path / "Lists").mkdir()
    (tmp_path / "Lists/own.txt").write_text("train/n0/a 1\nv 2\n")  # second words may be a count of the lines
    own = read_imagenet_det(tmp_path, [tmp_path / "Lists/own.txt"])
    assert [record.frames[0].relative_to(tmp_path).as_posix() for record in own] == [
        "Data/DET/train/n0/a.JPEG", "Data/DET/val/v.JPEG"
    ]  # fmt: skip
    mix = imagenet_vid_mix([video], [image], per_video=5)
    assert [sorted(record.instances) for record in mix] == [[0], [1, 9, 17, 25, 33]]
    assert len(mix[1].frames) == 40


# MOTChallenge and crowds


def sequence(root, name, rows, length=4, images=True):
    folder = root / name
    (folder / "gt").mkdir(parents=True)
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={name}\nimDir=img1\nframeRate=30\nseqLength={length}\nimWidth=60\nimHeight=40\nimExt=.jpg\n"
    )
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    for frame in range(length if images else 0):
        picture(folder / "img1" / f"{frame + 1:06d}.jpg")


def test_mot17_classes(tmp_path):
    rows = [
        "1,1,10,10,20,30,1,1,0.5",
        "1,2,5,5,9,9,0,1,1",
        "1,3,1,1,9,9,1,7,1",
        "1,4,1,1,9,9,1,3,1",
        "1,5,1,1,9,9,0,13,1",
        "3,1,55,10,20,30,1,1,1",
    ]
    sequence(tmp_path, "MOT17-02-SDP", rows)
    (record,) = read_mot_sequences(tmp_path, ["SDP"])
    first = record.instances[0]
    assert first.ids.tolist() == [1, 2, 3, 5]
    assert first.ignored.tolist() == [False, True, True, True]
    assert first.boxes[0].tolist() == [10, 10, 30, 40]
    assert first.visibilities[0] == 0.5
    assert len(record.instances[1]) == 0
    assert record.instances[2].boxes[0].tolist() == [55, 10, 75, 40]  # whole persons, in parts outside
    (clipped,) = read_mot_sequences(tmp_path, clip=True)
    assert clipped.instances[2].boxes[0].tolist() == [55, 10, 60, 40]
    assert (record.length, record.fps, record.size) == (4, 30, (40, 60))
    assert read_frame(record, 0).instances is first
    with pytest.raises(FileNotFoundError, match="no sequences named"):
        read_mot_sequences(tmp_path, ["DPM"])


def test_rows_beyond_the_end_are_counted(tmp_path):
    sequence(tmp_path, "A", ["1,1,10,10,20,30,1,-1,-1,-1", "9,1,10,10,20,30,1,-1,-1,-1"])
    with pytest.warns(DataWarning, match=r"1 rows beyond the last frame \(first: .*gt\.txt, frame 9\)"):
        (record,) = read_mot_sequences(tmp_path)
    assert len(record.instances[0]) == 1


def test_3d_columns_of_mot15_are_no_classes(tmp_path):
    """Detections and truth of MOT15 may have places on the ground where later benchmarks have class and visibility."""
    sequence(tmp_path, "PETS09-S2L1", ["1,1,10,10,20,30,1,3.0,12.5,0", "1,2,5,5,9,9,1,7.0,-2.5,0"])
    (record,) = read_mot_sequences(tmp_path)
    assert record.instances[0].ids.tolist() == [1, 2]
    assert not record.instances[0].ignored.any()
    assert record.instances[0].visibilities is None


def test_missing_images_keep_the_numbers_right(tmp_path):
    sequence(tmp_path, "A", [f"{t},1,{t},10,20,30,1,1,1" for t in range(1, 5)])
    (tmp_path / "A" / "img1" / "000002.jpg").unlink()
    with pytest.warns(DataWarning, match=r"1 frames without an image, which are left unannotated \(first: A\)"):
        (record,) = read_mot_sequences(tmp_path)
    assert sorted(record.instances) == [0, 2, 3]
    assert record.frames[2].name == "000003.jpg"
    assert record.instances[2].boxes[0, 0] == 3


def test_halves(tmp_path):
    sequence(tmp_path, "A", [f"{t},1,{t},10,20,30,1,1,1" for t in range(1, 6)], length=5)
    records = read_mot_sequences(tmp_path)
    first, second = half_split(records, 0)[0], half_split(records, 1)[0]
    assert (first.length, second.length) == (3, 2)
    assert second.instances[0].boxes[0, 0] == 4
    assert second.frames[0].name == "000004.jpg"


def test_real_sequences(data_root):
    (campus,) = read_mot_sequences(data_root / "mot" / "MOT15" / "train", ["TUD-Campus"])
    assert campus.length == 71
    assert sum(len(objects) for objects in campus.instances.values()) == 359
    assert read_frame(campus, 0).instances.boxes[0].tolist() == [399, 182, 520, 411]
    assert len(campus.detections) == 71
    with pytest.warns(DataWarning, match="2 sequences with another number of images"):
        mini = read_mot_sequences(data_root / "mot" / "MOT17-mini" / "train")
    assert sum(len(record.instances) for record in mini) == 12
    dance = read_dancetrack(data_root / "mot" / "DanceTrack", "val")
    assert len(dance) == 4
    assert all(not objects.ignored.any() for record in dance for objects in record.instances.values())


def test_crowdhuman(tmp_path):
    people = [
        {
            "tag": "person",
            "fbox": [-5, 2, 20, 50],
            "vbox": [0, 2, 15, 38],
            "hbox": [3, 3, 5, 5],
            "extra": {"ignore": 0},
        },
        {"tag": "mask", "fbox": [1, 2, 3, 4], "vbox": [1, 2, 3, 4], "hbox": [1, 2, 3, 4], "extra": {"ignore": 1}},
    ]
    path = tmp_path / "train.odgt"
    path.write_text(json.dumps({"ID": "x,1", "gtboxes": people}) + "\n")
    (record,) = read_crowdhuman(path, tmp_path)
    assert record.instances[0].boxes.tolist() == [[-5, 2, 15, 52], [1, 2, 4, 6]]
    assert record.instances[0].ignored.tolist() == [False, True]
    assert read_crowdhuman(path, tmp_path, "visible")[0].instances[0].boxes[0].tolist() == [0, 2, 15, 40]
    path.write_text(json.dumps({"ID": "x"}) + "\n")
    with pytest.raises(DataError, match=r"train\.odgt, line 1: expected ID and gtboxes"):
        read_crowdhuman(path, tmp_path)


# BDD100K


def test_bdd100k(tmp_path):
    box = {"x1": 1, "y1": 2, "x2": 30, "y2": 20}
    car = {"id": "b", "category": "car", "box2d": box}
    frames = [
        {"name": "v-2.jpg", "videoName": "v", "frameIndex": 1, "labels": [car]},
        {"name": "v-1.jpg", "videoName": "v", "frameIndex": 0, "labels": [
            {"id": "a", "category": "person", "box2d": box, "attributes": {"crowd": True}},
            {"id": "b", "category": "car", "box2d": {**box, "x2": 0}},
            {"id": "c", "category": "trailer", "box2d": box},
            {"id": "d", "category": "lane", "box2d": None}]},
        {"name": "v-3.jpg", "videoName": "v", "frameIndex": 2, "labels": None},
    ]  # fmt: skip
    (tmp_path / "v.json").write_text(json.dumps(frames))
    with pytest.warns(DataWarning, match="1 empty or inverted boxes"):
        (record,) = read_bdd100k(tmp_path, tmp_path)
    assert [path.name for path in record.frames] == ["v-1.jpg", "v-2.jpg", "v-3.jpg"]
    assert record.instances[0].labels.tolist() == [0, 3]
    assert record.instances[0].ignored.tolist() == [True, True]
    assert record.instances[1].ids.tolist() == [1]
    assert record.instances[1].boxes.tolist() == [[1, 2, 31, 21]]
    assert len(record.instances[2]) == 0
    (tmp_path / "v.json").write_text("[1]")
    with pytest.raises(DataError, match=r"v\.json: expected a list of frames"):
        read_bdd100k(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("category", "attributes", "name", "ignored"),
    [
        ("person", {}, "pedestrian", False),
        ("bike", {}, "bicycle", False),
        ("motor", {"crowd": False}, "motorcycle", False),
        ("caravan", {}, "car", False),
        ("van", {}, "car", False),
        ("bus", {"crowd": True}, "bus", True),
        ("train", {"Crowd": True}, "train", True),
        ("rider", {"ignored": True}, "rider", True),
        ("other person", {}, "pedestrian", True),
        ("other vehicle", {}, "car", True),
        ("trailer", {}, "truck", True),
    ],
)
def test_bdd100k_counts_what_the_benchmark_counts(category, attributes, name, ignored, tmp_path):
    """The reader, and the evaluation of files: what is ignored there is a region, where no prediction is false."""
    label = {
        "id": "7",
        "category": category,
        "attributes": attributes,
        "box2d": {"x1": 1, "y1": 2, "x2": 30, "y2": 20},
    }
    frame = {"name": "v-1.jpg", "videoName": "v", "frameIndex": 0, "labels": [label]}
    (tmp_path / "v.json").write_text(json.dumps([frame]))
    (record,) = read_bdd100k(tmp_path / "v.json", tmp_path)
    objects = record.instances[0]
    assert [record.classes[number] for number in objects.labels] == [name]
    assert objects.ignored.tolist() == [ignored]
    truth = read_scalabel([tmp_path / "v.json"], truth=True)["v"]
    assert (len(truth), len(truth.regions)) == ((0, 1) if ignored else (1, 0))
    found = {"id": "1", "category": name, "box2d": label["box2d"]}
    (tmp_path / "found.json").write_text(json.dumps([{**frame, "labels": [found]}]))
    scores = evaluate(tmp_path / "v.json", tmp_path / "found.json", task="mot")
    assert scores.combined["FP"] == 0


def test_real_bdd100k(data_root):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        records = read_bdd100k(data_root / "eval/bdd100k_scalabel/box_track/track_sample_anns.json", data_root)
    assert sum(len(objects) for record in records for objects in record.instances.values()) > 100
    assert all(objects.ids is not None for record in records for objects in record.instances.values())
