"""Testing video detectors by name: results per video, resumed, scored, as COCO json."""

from __future__ import annotations

import json

import pytest

from vidperc.data.synthetic import CLASSES, synthetic_videos
from vidperc.data.writers import write_coco, write_imagenet_vid
from vidperc.engine.video_detection import find_vid
from vidperc.evaluation import evaluate
from vidperc.testing import test as run_test

SMALL = {"references": 2}


@pytest.fixture(scope="module")
def coco_root(tmp_path_factory):
    """Two synthetic videos of six frames in CocoVID's layout."""
    root = tmp_path_factory.mktemp("cocovid")
    write_coco(synthetic_videos("test", 2, 6, (96, 128), "vid"), root)
    (root / "annotations").mkdir()
    (root / "annotations.json").rename(root / "annotations" / "instances_val.json")
    return root


@pytest.mark.filterwarnings("ignore:the video has")
def test_results_resume_and_scores(coco_root, tmp_path):
    first = run_test("tiny_selsa", data_root=coco_root, sequences=["test-000000"], out=tmp_path, **SMALL)
    files = sorted((tmp_path / "predictions").iterdir())
    assert [path.name for path in files] == ["test-000000.json"]
    assert set(first.scores.per_class) == set(CLASSES)
    seen: set[str] = set()
    outcome = run_test(
        "tiny_selsa", data_root=coco_root, out=tmp_path, resume=True, progress=lambda name, *_: seen.add(name), **SMALL
    )
    assert seen == {"test-000001"}
    scores = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert scores == outcome.scores.values
    assert "AP50_fast" in scores
    # the results, scored from files alone, give the same, however the truth counts its images and categories
    assert len(json.loads((tmp_path / "results.json").read_text())["images"]) == 12
    truth = json.loads((coco_root / "annotations" / "instances_val.json").read_text())
    for image in truth["images"]:
        image["id"] += 100
    for category in truth["categories"]:
        category["id"] += 7
    for row in truth["annotations"]:
        row["image_id"] += 100
        row["category_id"] += 7
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    again = evaluate(tmp_path / "truth.json", tmp_path / "results.json", task="vid")
    assert again.values == pytest.approx(outcome.scores.values, abs=1e-3)
    truth["images"].pop()
    (tmp_path / "truth.json").write_text(json.dumps(truth | {"annotations": []}))
    with pytest.raises(ValueError, match="has 6 frames, the truth has 5"):
        evaluate(tmp_path / "truth.json", tmp_path / "results.json", task="vid")


@pytest.mark.filterwarnings("ignore:the video has")
def test_format_only_and_unknown_videos(coco_root, tmp_path):
    names = ["test-000001"]
    outcome = run_test("tiny_selsa", data_root=coco_root, sequences=names, out=tmp_path, format_only=True, **SMALL)
    assert outcome.scores is None
    assert not (tmp_path / "scores.json").exists()
    with pytest.raises(ValueError, match="no video nine; there is test-000000"):
        run_test("tiny_selsa", data_root=coco_root, sequences=["nine"], out=tmp_path)


def test_layouts(tmp_path):
    records = synthetic_videos("test", 1, 2, (96, 128), "vid")
    write_imagenet_vid(records, tmp_path, "val")
    # the writer has the classes' names where ImageNet has WordNet ids, so that nothing of them is read
    data = find_vid(tmp_path, CLASSES)
    assert [record.name for record in data.records] == ["test-000000"]
    assert len(data.records[0].frames) == 2
    with pytest.raises(FileNotFoundError, match="neither Annotations/VID/val"):
        find_vid(tmp_path / "Data", CLASSES)
