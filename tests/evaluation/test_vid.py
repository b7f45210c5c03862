"""Detections in videos: motion by hand, the split by speed by hand, AP against pycocotools."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from vidperc.evaluation import VIDEvaluator, evaluate
from vidperc.evaluation.coco import COCOEvaluator
from vidperc.evaluation.vid import average_precision, match, motion_ious, speeds_of
from vidperc.structures import Instances


def objects(boxes, labels=None, scores=None, **fields) -> Instances:
    return Instances(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels if labels is not None else [0] * len(boxes), dtype=torch.int64),
        scores=None if scores is None else torch.tensor(scores, dtype=torch.float32),
        **{name: torch.tensor(value) for name, value in fields.items()},
    )


def moving(length: int, step: float, number: int = 0, top: float = 0.0) -> list[Instances]:
    """A box of 100 x 100 that moves by `step` pixels in every frame."""
    return [objects([[t * step, top, t * step + 100, top + 100]], ids=[number]) for t in range(length)]


def test_motion_iou_by_hand():
    """Three frames, 10 px apart: overlaps 90 / 110 with the next frame, 80 / 120 with the one after."""
    near, far = 90 / 110, 80 / 120
    got = motion_ious(moving(3, 10.0))
    assert [float(row[0]) for row in got] == pytest.approx([(near + far) / 2, near, (near + far) / 2])


def test_motion_reaches_ten_frames():
    """From frame 0 of a long video: shifts of 1 .. 10 px count, not 11."""
    expected = np.mean([(100 - d) / (100 + d) for d in range(1, 11)])
    assert float(motion_ious(moving(40, 1.0))[0][0]) == pytest.approx(expected)


def test_frames_without_truth_or_ids_and_objects_seen_once():
    frames = moving(3, 0.0)
    frames[1] = None
    assert [row.tolist() for row in motion_ious(frames)] == [[1.0], [], [1.0]]
    assert math.isnan(motion_ious(moving(1, 0.0))[0][0])
    assert math.isnan(motion_ious([objects([[0, 0, 9, 9]])] * 2)[0][0])


def test_borders_of_speed():
    assert speeds_of(np.array([0.91, 0.9, 0.7, 0.69, math.nan])).tolist() == ["slow", "medium", "medium", "fast", ""]


def test_ignored_objects_are_taken_last():
    """The detection overlaps the ignored object more, and takes the other all the same; the next is not counted."""
    overlaps = np.array([[0.9, 0.6], [0.8, 0.7], [0.7, 0.1]])
    ignored, crowd = np.array([True, False]), np.array([False, False])
    hits, counts = match(overlaps, ignored, crowd)
    assert hits.tolist() == [True, False, False]
    assert counts.tolist() == [True, False, True]  # the third finds the ignored object taken: wrong
    assert match(overlaps, ignored, ignored)[1].tolist() == [True, False, False]  # a crowd is never taken


def test_average_precision_by_hand():
    """Right, wrong, right of two: precision 1 up to recall 1/2 (51 recalls), 2/3 beyond (50)."""
    found = [(np.array([0.9, 0.7]), np.array([True, True])), (np.array([0.8]), np.array([False]))]
    assert average_precision(found, 2) == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_split_by_hand():
    """A still object always found, a fast one never, one wrong detection of the highest score in every frame."""
    length = 5
    still, fast = moving(length, 0.0), moving(length, 60.0, 1, top=500)
    truths = [Instances.cat(pair) for pair in zip(still, fast, strict=True)]
    found = [objects([[900, 900, 950, 950], part.boxes[0].tolist()], [0, 0], [0.9, 0.8]) for part in truths]
    evaluator = VIDEvaluator(["thing"])
    evaluator.process("v", found, truths)
    scores = evaluator.scores()
    assert scores.counts == {"slow": 5, "medium": 0, "fast": 5}
    assert scores.values["AP50_slow"] == pytest.approx(0.5)  # each found after the wrong ones: 5 of 10 at the end
    assert scores.values["AP50_fast"] == 0
    assert scores.values["AP50_medium"] == -1
    assert scores.values["AP50"] == pytest.approx(0.5 * 51 / 101)
    assert "AP50_slow" in json.loads(scores.to_json())["scores"]
    assert scores.table().row_count == 8


def random_video(rng: np.random.Generator, length: int, shift: float) -> tuple[list[Instances], list[Instances]]:
    """Four objects of three classes, drifting; noisy detections of them, and some of nothing."""
    start, labels = rng.uniform(0, 200, (4, 2)), rng.integers(0, 3, 4)
    truths, found = [], []
    for t in range(length):
        corner = start + t * shift
        boxes = np.concatenate((corner, corner + 50), 1)
        truths.append(objects(boxes.tolist(), labels.tolist(), ids=list(range(4)), ignored=[False] * 3 + [True]))
        noisy = np.concatenate((boxes + rng.normal(0, 8, boxes.shape), boxes + 150, boxes + rng.normal(0, 3, (4, 4))))
        of = np.concatenate((labels, rng.integers(0, 3, 4), labels))
        found.append(objects(noisy.tolist(), of.tolist(), rng.uniform(0, 1, 12).tolist()))
    return truths, found


@pytest.mark.parametrize(("shift", "speed"), [(0.1, "slow"), (0.5, "medium"), (20.0, "fast")])
def test_one_speed_alone_is_cocos_ap50(shift, speed):
    """Where all objects have the same speed its AP50 is that of all, which pycocotools computes."""
    rng = np.random.default_rng(3)
    evaluator, coco = VIDEvaluator(["a", "b", "c"]), COCOEvaluator(["a", "b", "c"])
    for number in range(3):
        truths, found = random_video(rng, 12, shift)
        assert {name for row in motion_ious(truths) for name in speeds_of(row).tolist()} == {speed}
        evaluator.process(f"v{number}", found, truths)
        coco.process(f"v{number}", found, truths)
    scores = evaluator.evaluate()
    assert 0.1 < scores["AP50"] < 0.95
    assert scores[f"AP50_{speed}"] == pytest.approx(coco.evaluate()["AP50"], abs=1e-9)


def test_evaluate_from_memory_and_from_files(tmp_path):
    truths, found = random_video(np.random.default_rng(0), 8, 2.0)
    memory = evaluate({"v": truths}, {"v": found}, task="vid", classes=["a", "b", "c"])
    rows, annotations = [], []
    for t in range(8):
        for parts, out in ((truths[t], annotations), (found[t], rows)):
            for k in range(len(parts)):
                x0, y0, x1, y1 = parts.boxes[k].tolist()
                row = {"image_id": t + 5, "category_id": int(parts.labels[k]) + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
                if parts.scores is None:
                    row |= {"id": len(out), "instance_id": int(parts.ids[k]), "iscrowd": int(parts.ignored[k])}
                else:
                    row["score"] = float(parts.scores[k])
                out.append(row)
    content = {
        "videos": [{"id": 1, "name": "v"}],
        "images": [{"id": t + 5, "video_id": 1, "frame_id": t} for t in reversed(range(8))],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate("abc")],
        "annotations": annotations,
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    (tmp_path / "results.json").write_text(json.dumps(rows))
    files = evaluate(tmp_path / "truth.json", tmp_path / "results.json", task="vid")
    assert files.values == pytest.approx(memory.values, abs=1e-6)
    assert files.counts == memory.counts

    rows[3]["image_id"] = 99
    (tmp_path / "results.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=r"results.json, row 3: image 99"):
        evaluate(tmp_path / "truth.json", tmp_path / "results.json", task="vid")


def test_bad_input():
    truths, found = random_video(np.random.default_rng(0), 3, 2.0)
    with pytest.raises(ValueError, match="do not agree: other"):
        evaluate({"v": truths, "other": truths}, {"v": found}, task="vid")
    with pytest.raises(ValueError, match="2 predictions and 3 frames"):
        evaluate({"v": truths}, {"v": found[:2]}, task="vid")
    with pytest.raises(ValueError, match="no scores"):
        evaluate({"v": truths}, {"v": truths}, task="vid")
