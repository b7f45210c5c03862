"""What the published detectors of COCO and BDD100K learn from: their readers, and how large their pictures become."""

from __future__ import annotations

import json

import cv2
import fiddle as fdl
import numpy as np
import pytest
from vidperc.configs.common.classes import coco_classes

from vidperc.models import get_config

SIZES = ((300, 400), (400, 300), (300, 420), (300, 400))  # (height, width)


@pytest.fixture
def coco(tmp_path):
    """Three pictures with a square object each, and an empty one."""
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number, (height, width) in enumerate(SIZES):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), np.full((height, width, 3), 90, np.uint8))
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
    for number in range(3):
        square = [100, 100, 200, 100, 200, 200, 100, 200]
        annotations.append(
            {
                "id": number + 1, "image_id": number, "category_id": 3, "bbox": [100, 100, 100, 100], "area": 1e4,
                "iscrowd": 0, "segmentation": [square],
            }
        )  # fmt: skip
    categories = [{"id": index, "name": name} for index, name in enumerate(coco_classes())]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "annotations" / "instances.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def bdd100k(tmp_path):
    """One picture with a car, in the layout of the benchmark."""
    (tmp_path / "labels" / "det_20").mkdir(parents=True)
    (tmp_path / "images" / "100k" / "train").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images" / "100k" / "train" / "a.jpg"), np.full((720, 1280, 3), 90, np.uint8))
    label = {"id": "1", "category": "car", "box2d": {"x1": 500, "y1": 300, "x2": 700, "y2": 420}}
    content = [{"name": "a.jpg", "labels": [label]}]
    (tmp_path / "labels" / "det_20" / "det_train.json").write_text(json.dumps(content))
    return tmp_path


def train_data(name, root):
    config = get_config(name).train_data
    config.root = str(root)
    return fdl.build(config)


def sizes(data, count):
    """Of the first picture at some seeds."""
    return {data.dataset[0, seed].frames[0].size for seed in range(count)}


def test_coco_in_one_size_with_masks(coco):
    data = train_data("mask_rcnn_regnetx-3.2GF_fpn_1x_coco", coco)
    assert len(data.dataset) == 3
    assert data.groups == [0, 1, 0]
    assert sizes(data, 4) == {(800, 1067)}
    frame = data.dataset[0, 0].frames[0]
    assert frame.instances.labels.tolist() == [3]
    assert int(frame.instances.masks.sum()) == pytest.approx((100 * 800 / 300) ** 2, rel=0.02)


def test_coco_in_one_of_some_sizes_and_in_any(coco):
    heights = {height for height, _ in sizes(train_data("mask_rcnn_regnetx-3.2GF_fpn_mstrain_3x_coco", coco), 24)}
    assert heights <= {640, 672, 704, 736, 768, 800}
    assert len(heights) > 3
    heights = {height for height, _ in sizes(train_data("faster_rcnn_regnetx-3.2GF_fpn_mstrain_3x_coco", coco), 24)}
    assert all(640 <= height <= 800 for height in heights)
    assert len(heights) > 10


def test_bdd100k_as_it_is_in_some_sizes_and_with_crops(bdd100k):
    assert sizes(train_data("faster_rcnn_swin-t_fpn_1x_det_bdd100k", bdd100k), 4) == {(720, 1280)}
    some = sizes(train_data("faster_rcnn_convnext-s_fpn_fp16_3x_det_bdd100k", bdd100k), 12)
    assert {height for height, _ in some} <= {600, 624, 648, 672, 696, 720}
    strong = sizes(train_data("faster_rcnn_swin-t_fpn_3x_strong_det_bdd100k", bdd100k), 16)
    whole = [width / height for height, width in strong if abs(width / height - 16 / 9) < 0.01]
    assert 0 < len(whole) < len(strong)
    assert all(max(size) <= 1333 and min(size) <= 800 for size in strong)
