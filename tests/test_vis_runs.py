"""Training and testing of video instance segmentation on folders in the benchmarks' layouts."""

from __future__ import annotations

import json
import zipfile

import cv2
import fiddle as fdl
import numpy as np
import pytest

import vidperc
from vidperc.data.formats import write_dataset
from vidperc.data.synthetic import synthetic_videos
from vidperc.testing import test as run_test

SIZE = (96, 128)


def with_names(path, classes, names):
    """The file's six classes under other names, their ids with gaps."""
    content = json.loads(path.read_text())
    ids = {category["id"]: 10 * (classes.index(name) + 1) for category, name in zip(content["categories"], names)}
    content["categories"] = [{"id": 10 * n, "name": name} for n, name in enumerate(classes, 1)]
    for annotation in content["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"]]
    return content


def videos(split, length=3):
    return synthetic_videos(split, 2, length, SIZE, "vis")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """YouTube-VIS 2019 and COCO, small."""
    root = tmp_path_factory.mktemp("data")
    classes = vidperc.get_config("seqformer_r50_ytvis2019").classes
    names = ("person", "dog", "cat", "horse", "sedan", "zebra")
    for split in ("train", "valid"):
        file = write_dataset("youtube_vis", videos("train"), root / "ytvis" / split)
        file.write_text(json.dumps(with_names(file, classes, names)))
    file = write_dataset("coco", videos("train", 1), root / "coco")
    classes = vidperc.get_config("seqformer_r50_coco").classes
    content = with_names(file, classes, ("person", "dog", "cat", "horse", "car", "bus"))
    del content["videos"]
    (root / "coco" / "annotations").mkdir()
    (root / "coco" / "annotations" / "instances.json").write_text(json.dumps(content))
    return root


def test_published_configs_train_on_videos_and_stills(folders):
    config = vidperc.get_config("seqformer_r50_ytvis2019_joint")
    config.train_data.data_root, config.train_data.coco_root = str(folders / "ytvis"), str(folders / "coco")
    config.train_data.frames = 2
    dataset = fdl.build(config.train_data).dataset
    assert len(dataset) == 2 * 3 + 2  # every frame of the videos, and the stills
    clips = [dataset[0, 1], dataset[len(dataset) - 1, 2]]
    assert [len(clip) for clip in clips] == [2, 2]
    assert len({frame.index for frame in clips[1].frames}) == 1
    model = fdl.build(_tiny(num_classes=40)).train()
    losses = model(clips)
    sum(losses.values()).backward()
    assert all(value.isfinite() for value in losses.values())
    assert config.schedule.iterations == 12000 and config.schedule.batch_size == 32
    assert config.schedule.clip_norm == 0.01
    rates = {(rule.pattern, rule.lr) for rule in config.schedule.optimizer.rules}
    assert (r"^backbone\.", 0.1) in rates


def _tiny(**changes):
    config = vidperc.get_config("tiny_seqformer").model
    for name, value in changes.items():
        setattr(config, name, value)
    return config


def test_pre_training_on_coco(folders):
    config = vidperc.get_config("seqformer_r50_coco")
    config.train_data.coco_root = str(folders / "coco")
    dataset = fdl.build(config.train_data).dataset
    assert len(dataset[0, 1]) == 1


def test_results_submission_and_scores(folders, tmp_path):
    data = write_dataset("youtube_vis", videos("test"), tmp_path / "data").parent
    out = tmp_path / "out"
    outcome = run_test("tiny_seqformer", data_root=data, out=out, clip_length=3, clip_stride=2)
    assert set(outcome.scores.values) >= {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10"}
    with zipfile.ZipFile(out / "results.zip") as archive:
        assert archive.namelist() == ["results.json"]
        entries = json.loads(archive.read("results.json"))
    assert {entry["video_id"] for entry in entries} <= {1, 2}
    assert all(len(entry["segmentations"]) == 3 for entry in entries)
    assert vidperc.evaluate(data / "instances.json", out / "results.zip", task="vis").values == pytest.approx(
        outcome.scores.values, nan_ok=True
    )
    written = json.loads((out / "scores.json").read_text())["scores"]
    assert written["AP"] == pytest.approx(outcome.scores.values["AP"])
    # results that are there are not made again
    first = out / "predictions" / f"{sorted(path.name for path in (out / 'predictions').iterdir())[0]}"
    first.write_text("[]")
    options = {"clip_length": 3, "clip_stride": 2}
    run_test("tiny_seqformer", data_root=data, out=out, resume=True, format_only=True, **options)
    with zipfile.ZipFile(out / "results.zip") as archive:
        assert {entry["video_id"] for entry in json.loads(archive.read("results.json"))} <= {2}


def test_videos_without_truth_are_written_alone(tmp_path):
    file = write_dataset("youtube_vis", videos("test"), tmp_path / "data" / "valid")
    content = json.loads(file.read_text())
    del content["annotations"]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="--format-only"):
        run_test("tiny_seqformer", data_root=tmp_path / "data", out=tmp_path / "out")
    outcome = run_test("tiny_seqformer", data_root=tmp_path / "data", out=tmp_path / "out", format_only=True)
    assert (tmp_path / "out" / "results.zip") in outcome.written
    assert outcome.scores is None


def test_davis_folders_are_scored_by_j_and_f(tmp_path):
    record = videos("test")[0]
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / "davis" / kind / "moving").mkdir(parents=True)
    for t in range(3):
        frame = record.load(t)
        plane = np.zeros(SIZE, np.uint8)
        for number, mask in enumerate(frame.instances.masks.numpy(), 1):
            plane[mask] = number
        cv2.imwrite(str(tmp_path / "davis" / "JPEGImages" / "moving" / f"{t:05d}.jpg"), frame.array[..., ::-1])
        cv2.imwrite(str(tmp_path / "davis" / "Annotations" / "moving" / f"{t:05d}.png"), plane)
    outcome = run_test("tiny_seqformer", data_root=tmp_path / "davis", out=tmp_path / "out")
    assert set(outcome.scores) == {"J", "F", "J&F"}
    assert 0.2 < outcome.scores["J&F"] <= 1
