"""The data that published detectors learn from and are scored on, in small folders of each benchmark's layout."""

import json

import cv2
import numpy as np
import pytest
import torch
from vidperc.configs.common.det_data import (
    coco_proposals_training,
    coco_regions_scoring,
    coco_scoring,
    coco_training,
)
from vidperc.configs.common.other_data import lvis_training, voc_training

from vidperc.data.problems import DataError
from vidperc.data.readers.lvis import read_lvis
from vidperc.data.readers.wider_face import read_wider_face
from vidperc.models import get_config, list_models
from vidperc.structures import Instances


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((40, 60, 3), 90, np.uint8))


def coco_content(boxes, names=("person", "cat")):
    """Image 1 with boxes of the classes, image 2 with none."""
    images = [{"id": number, "file_name": f"{number}.jpg", "height": 40, "width": 60} for number in (1, 2)]
    rows = [
        {"id": i, "image_id": 1, "category_id": 10 * (label + 1), "bbox": box, "area": 100, "iscrowd": 0}
        | {"segmentation": [[box[0], box[1], box[0] + box[2], box[1], box[0] + box[2], box[1] + box[3]]]}
        for i, (label, box) in enumerate(boxes, 1)
    ]
    categories = [{"id": 10 * (label + 1), "name": name} for label, name in enumerate(names)]
    return {"images": images, "annotations": rows, "categories": categories}


@pytest.fixture
def coco(tmp_path):
    """COCO's folder with both splits alike."""
    names = get_config("faster_rcnn_r50_fpn_1x_coco").classes
    content = coco_content([(0, [5, 5, 10, 20]), (names.index("cat"), [30, 5, 20, 30])], names)
    (tmp_path / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
        for number in (1, 2):
            picture(tmp_path / split / f"{number}.jpg")
    return tmp_path


@pytest.mark.parametrize("name", list_models("det"))
def test_every_detector_with_a_schedule_has_data(name):
    config = get_config(name)
    assert (config.train_data is None) == (config.schedule is None)
    assert config.test_data is not None or config.schedule is None or "lvis" in name


def test_what_coco_gives(coco):
    assert len(coco_training([], coco).dataset) == 1
    assert coco_training([], coco, times=5).repeats == [5.0]
    assert len(coco_training([], coco, keep_empty=True).dataset) == 2
    cats = coco_training([], coco, classes=("cat",)).dataset
    assert cats[0, 0][0].instances.labels.tolist() == [0]
    assert cats[0, 0][0].instances.boxes.tolist() == [[30, 5, 50, 35]]


def test_some_classes_of_coco():
    config = get_config("faster_rcnn_r50_caffe_fpn_mstrain_1x_coco-person-bicycle-car")
    assert config.train_data.classes == config.test_data.classes == ("person", "bicycle", "car")


def test_a_folder_that_is_not_there_is_named_with_the_way_to_set_it(tmp_path):
    for make in (coco_scoring, coco_regions_scoring):
        with pytest.raises(FileNotFoundError, match=r"nowhere: neither annotations/instances_val2017.json.*root=DIR"):
            make(tmp_path / "nowhere")


def test_regions_are_scored_whatever_their_class(coco):
    data = coco_regions_scoring(coco)
    truth = data.records[0].instances[0]
    assert truth.labels.tolist() == [0, 0]
    evaluator = data.evaluator()
    # 200 false regions before the right one of the two: beyond the hundredth, within the thousandth
    boxes = torch.cat([torch.tensor([[0.0, 30, 5, 35]]).expand(200, 4), truth.boxes[:1]])
    found = Instances(boxes=boxes, labels=torch.zeros(201, dtype=torch.int64), scores=torch.linspace(1, 0.1, 201))
    evaluator.process("1", [found], [truth])
    assert evaluator.evaluate()[data.metric] == pytest.approx(0.5)


def test_proposals_come_with_coco(coco):
    rows = [{"image_id": 1, "category_id": 1, "bbox": [i, 0, 10, 10], "score": i / 10} for i in range(5)]
    (coco / "regions.json").write_text(json.dumps(rows))
    frame = coco_proposals_training([], coco, "regions.json").dataset[0, 0][0]
    assert frame.detections.boxes[:, 0].tolist() == [4, 3, 2, 1, 0]


def test_lvis_images_are_where_their_url_ends(tmp_path):
    content = coco_content([(0, [5, 5, 10, 20]), (1, [30, 5, 20, 30])], ("rare", "common"))
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{image['file_name']}"
        picture(tmp_path / "val2017" / image["file_name"])
    content["images"][1].pop("file_name")
    (tmp_path / "x.json").write_text(json.dumps(content))
    records = read_lvis(tmp_path / "x.json", tmp_path)
    assert [record.frames[0] for record in records] == [tmp_path / "val2017/1.jpg", tmp_path / "val2017/2.jpg"]
    data = lvis_training([], "x.json", tmp_path, ("common", "rare"))
    assert data.repeats == [1.0]
    assert data.dataset[0, 0][0].instances.masks.shape == (2, 40, 60)
    content["images"][0].pop("coco_url")
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="image 0 has no coco_url"):
        read_lvis(tmp_path / "x.json", tmp_path)


def test_voc_has_two_years_three_times(tmp_path):
    for year in (2007, 2012):
        folder = tmp_path / f"VOC{year}"
        (folder / "ImageSets/Main").mkdir(parents=True)
        (folder / "Annotations").mkdir()
        (folder / "ImageSets/Main/trainval.txt").write_text(f"{year}\n")
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
        (folder / f"Annotations/{year}.xml").write_text(
            "<annotation><size><height>40</height><width>60</width></size>"
            f"<object><name>dog</name>{box}</object></annotation>"
        )
        picture(folder / f"JPEGImages/{year}.jpg")
    data = voc_training([], tmp_path)
    assert data.repeats == [3.0, 3.0]
    assert data.dataset[1, 0][0].instances.labels.tolist() == [11]


WIDER = "0--A/one.jpg\n2\n5 5 20 30 0 0 0 0 0 0\n30 5 10 10 0 0 0 1 0 0\n0--A/none.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"


def wider_file(root, text):
    (root / "wider_face_split").mkdir(exist_ok=True)
    (root / "wider_face_split/wider_face_train_bbx_gt.txt").write_text(text)


def test_faces(tmp_path):
    wider_file(tmp_path, WIDER)
    picture(tmp_path / "WIDER_train/images/0--A/one.jpg")
    one, none = read_wider_face(tmp_path)
    assert one.instances[0].boxes.tolist() == [[5, 5, 25, 35], [30, 5, 40, 15]]
    assert one.instances[0].ignored.tolist() == [False, True]
    assert len(none.instances[0]) == 0
    assert read_wider_face(tmp_path, min_side=21)[0].instances[0].ignored.tolist() == [True, True]


@pytest.mark.parametrize("text", ["a.jpg\n", "a.jpg\nb.jpg\n", "a.jpg\n2\n1 1 5 5 0 0 0 0 0 0\n", "a.jpg\n1\n1 1 5\n"])
def test_faces_of_another_form(tmp_path, text):
    wider_file(tmp_path, text)
    with pytest.raises(DataError, match=r"wider_face_train_bbx_gt\.txt, line 1"):
        read_wider_face(tmp_path)
