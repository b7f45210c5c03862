"""Testing image detectors on data sets on disk: layouts, scores beside the official tool, result files, processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vidperc.cli import main
from vidperc.data.synthetic import synthetic_videos
from vidperc.engine.image_sets import find_images
from vidperc.evaluation.coco import run_cocoeval, summary
from vidperc.io import Video
from vidperc.structures.masks import encode_masks
from vidperc.testing import test as run_test

PICTURES = 6


@pytest.fixture(scope="module")
def frames():
    """(picture, truth) of synthetic frames, and the names of their classes."""
    records = list(synthetic_videos("test", PICTURES, 1, (120, 160), "det"))
    return [next(iter(Video(record))) for record in records], records[0].classes


@pytest.fixture(scope="module")
def coco_root(frames, tmp_path_factory):
    """The frames as a COCO data set whose numbers have gaps, with polygons and areas smaller than the boxes."""
    pictures, classes = frames
    root = tmp_path_factory.mktemp("coco")
    (root / "images").mkdir()
    (root / "annotations").mkdir()
    categories = [{"id": 3 * n + 5, "name": name} for n, name in enumerate(classes)]
    images, annotations = [], []
    for n, frame in enumerate(pictures):
        name, height, width = f"{n}.png", *frame.size
        cv2.imwrite(str(root / "images" / name), np.ascontiguousarray(frame.array[:, :, ::-1]))
        images.append({"id": 100 + 7 * n, "file_name": name, "height": height, "width": width})
        truth = frame.instances
        for (x0, y0, x1, y1), label in zip(truth.boxes.tolist(), truth.labels.tolist()):
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": 100 + 7 * n, "category_id": 3 * label + 5, "iscrowd": 0,
                    "bbox": [x0, y0, x1 - x0, y1 - y0], "area": 0.3 * (x1 - x0) * (y1 - y0),
                    "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                }
            )  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "instances_val.json").write_text(json.dumps(content))
    return root


@pytest.fixture(scope="module")
def outcome(coco_root, tmp_path_factory):
    """tiny_det on it, and the folder of its results."""
    out = tmp_path_factory.mktemp("results")
    return run_test("tiny_det", data_root=coco_root, out=out), out


def test_scores_are_those_of_the_official_tool_on_the_written_file(coco_root, outcome, capsys):
    scores, out = outcome[0].scores, outcome[1]
    truth = COCO(str(coco_root / "annotations" / "instances_val.json"))
    official = COCOeval(truth, truth.loadRes(str(out / "results.bbox.json")), "bbox")
    official.evaluate()
    official.accumulate()
    official.summarize()
    assert list(scores.values()) == pytest.approx(official.stats.tolist(), abs=1e-12)
    assert scores["AP50"] > 0.5
    assert json.loads((out / "scores.json").read_text()) == scores


def test_the_faster_tool_gives_the_same(coco_root, outcome):
    pytest.importorskip("faster_coco_eval")
    rows = json.loads((outcome[1] / "results.bbox.json").read_text())
    images = find_images(coco_root, None)
    expected = images.score_rows(rows)
    assert images.score_rows(rows, backend="faster") == pytest.approx(expected, abs=1e-12)
    for row in rows:  # masks as well
        x, y, width, height = row["bbox"]
        mask = np.zeros((120, 160), np.uint8, order="F")
        mask[int(y) : int(y + height), int(x) : int(x + width)] = 1
        row["segmentation"] = encode_masks(mask[None])[0]
    expected = images.score_rows(rows)
    assert expected["mask_AP50"] > 0.5
    assert images.score_rows(rows, backend="faster") == pytest.approx(expected, abs=1e-12)


def test_recall_of_proposals_by_hand():
    """Two objects of two classes, one found by the first region and one by the third: half, then all of them."""
    truth = {
        "images": [{"id": 1, "file_name": "a", "height": 400, "width": 400}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100], "area": 1e4, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [200, 200, 100, 100], "area": 1e4, "iscrowd": 0},
        ],
    }
    boxes = ([0, 0, 100, 100], [300, 0, 9, 9], [200, 200, 100, 100])
    rows = [
        {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9 - 0.1 * n, "area": box[2] * box[3]}
        for n, box in enumerate(boxes)
    ]
    run = run_cocoeval(truth, rows, "bbox", (1, 2, 3), by_class=False)
    assert summary(run)[6:9] == pytest.approx([0.5, 0.5, 1.0])


def test_region_proposals_are_scored_by_recall(coco_root, tmp_path):
    with pytest.warns(UserWarning, match="untrained"):
        outcome = run_test(
            "rpn_r50_fpn_1x_coco", data_root=coco_root, out=tmp_path, sequences=["0.png"],
            test_scale=(96, 64), **{"model.backbone.depth": 18, "model.neck.in_channels": [64, 128, 256, 512]},
        )  # fmt: skip
    assert list(outcome.scores) == ["AR100", "AR300", "AR1000", "ARs", "ARm", "ARl"]


def test_format_only_writes_scalabel_with_the_last_pixels(coco_root, outcome, frames, tmp_path, capsys):
    words = ["--data-root", str(coco_root), "--out", str(tmp_path), "--format-only", "--format", "scalabel"]
    assert main(["test", "tiny_det", *words]) == 0
    assert not (tmp_path / "scores.json").exists()
    found = json.loads((tmp_path / "results.scalabel.json").read_text())
    assert [frame["name"] for frame in found] == [f"{n}.png" for n in range(PICTURES)]
    rows = [row for row in json.loads((outcome[1] / "results.bbox.json").read_text()) if row["image_id"] == 100]
    assert len(rows) == len(found[0]["labels"]) > 0
    for row, label in zip(rows, found[0]["labels"]):
        x, y, width, height = row["bbox"]
        assert label["category"] == frames[1][(row["category_id"] - 5) // 3]
        assert label["score"] == row["score"]
        box = [label["box2d"][side] for side in ("x1", "y1", "x2", "y2")]
        assert box == pytest.approx([x, y, x + width - 1, y + height - 1], abs=2e-3)


def test_bdd100k_layout_counts_the_last_pixel(frames, tmp_path):
    pictures, classes = frames
    (tmp_path / "labels" / "det_20").mkdir(parents=True)
    (tmp_path / "images" / "100k" / "val").mkdir(parents=True)
    content = []
    for n, frame in enumerate(pictures[:2]):
        cv2.imwrite(str(tmp_path / "images/100k/val" / f"{n}.jpg"), frame.array)
        labels = [
            {"id": str(i), "category": classes[label], "box2d": {"x1": x0, "y1": y0, "x2": x1 - 1, "y2": y1 - 1}}
            for i, ((x0, y0, x1, y1), label) in enumerate(
                zip(frame.instances.boxes.tolist(), frame.instances.labels.tolist())
            )
        ]
        content.append({"name": f"{n}.jpg", "labels": labels})
    (tmp_path / "labels" / "det_20" / "det_val.json").write_text(json.dumps(content))
    images = find_images(tmp_path, classes)
    assert images.layout == "bdd100k"
    boxes = [a["bbox"] for a in images.truth["annotations"] if a["image_id"] == 1]
    expected = pictures[0].instances.boxes.clone()
    expected[:, 2:] -= expected[:, :2]
    torch.testing.assert_close(torch.tensor(boxes), expected, rtol=0, atol=1e-4)
    assert images.ids == {"0.jpg": [1], "1.jpg": [2]}


def test_pascal_voc_layout(frames, tmp_path):
    pictures, classes = frames
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    (root / "ImageSets" / "Main" / "val.txt").write_text("0\n1\n2\n")
    for n, frame in enumerate(pictures[:3]):
        cv2.imwrite(str(root / "JPEGImages" / f"{n}.jpg"), np.ascontiguousarray(frame.array[:, :, ::-1]))
        objects = "".join(
            f"<object><name>{classes[label]}</name><difficult>0</difficult><bndbox><xmin>{x0 + 1}</xmin>"
            f"<ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
            for (x0, y0, x1, y1), label in zip(frame.instances.boxes.tolist(), frame.instances.labels.tolist())
        )
        size = f"<size><width>{frame.size[1]}</width><height>{frame.size[0]}</height><depth>3</depth></size>"
        (root / "Annotations" / f"{n}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
    outcome = run_test("tiny_det", data_root=tmp_path, out=tmp_path / "out")
    assert outcome.scores["mAP"] > 0.5


def test_a_folder_of_no_layout_names_those_there_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)instances\*\.json.*det_val\.json.*JPEGImages"):
        run_test("tiny_det", data_root=tmp_path)


def test_two_processes_score_what_one_does(coco_root, outcome, tmp_path):
    """By torchrun; the first half of the results is there already and stays."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    kept = (outcome[1] / "predictions" / "0.png.json").read_text()
    (folder / "0.png.json").write_text(kept)
    stamp = (folder / "0.png.json").stat().st_mtime_ns
    words = ["--data-root", str(coco_root), "--out", str(tmp_path), "--resume"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29561"]
    done = subprocess.run(
        [*command, "-m", "vidperc", "test", "tiny_det", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "scores.json").read_text()) == outcome[0].scores
    assert (folder / "0.png.json").stat().st_mtime_ns == stamp
    assert sorted(path.name for path in folder.iterdir()) == [f"{n}.png.json" for n in range(PICTURES)]
    assert done.stdout.count("AP50") == 1
