"""COCO average precision on cases small enough to know the answer."""

import pytest
import torch

from vidperc.evaluation.coco import COCOEvaluator
from vidperc.structures import Instances

CLASSES = ("cat", "dog")


def objects(boxes, labels, scores=None, **fields):
    return Instances(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        scores=None if scores is None else torch.tensor(scores, dtype=torch.float32),
        **fields,
    )


def evaluated(truths, predictions, **options):
    evaluator = COCOEvaluator(CLASSES, **options)
    evaluator.process("v", predictions, truths)
    return evaluator.evaluate()


A, B, FAR = [0, 0, 100, 100], [200, 200, 300, 300], [400, 400, 450, 450]


def test_perfect():
    truth = objects([A, B], [0, 1])
    scores = evaluated([truth], [truth.replace(scores=torch.tensor([0.9, 0.8]))])
    assert [scores[name] for name in ("AP", "AP50", "AR100")] == pytest.approx([1, 1, 1])


def test_half_found_and_a_false_one_ahead():
    """One of two cats found, after a false detection: precision 1/2 at recalls up to 1/2: 51 of 101 points."""
    scores = evaluated([objects([A, B], [0, 0])], [objects([FAR, A], [0, 0], [0.9, 0.8])])
    assert scores["AP50"] == pytest.approx(0.5 * 51 / 101)


def test_a_loose_box_counts_at_50_only():
    """IoU 0.6: right at 0.5, 0.55 and (at the border) 0.6, three of ten thresholds."""
    scores = evaluated([objects([A], [0])], [objects([[0, 0, 100, 60]], [0], [0.9])])
    assert scores["AP50"] == pytest.approx(1)
    assert scores["AP75"] == 0
    assert scores["AP"] == pytest.approx(0.3)


def test_detections_on_ignored_objects_do_not_count():
    truth = objects([A, B], [0, 0], ignored=torch.tensor([False, True]))
    scores = evaluated([truth], [objects([B, A], [0, 0], [0.9, 0.8])])
    assert scores["AP50"] == pytest.approx(1)


def test_frames_without_annotation_are_left_out():
    truth = objects([A], [0])
    found = truth.replace(scores=torch.tensor([0.5]))
    wrong = objects([FAR], [0], [0.9])
    assert evaluated([truth, None], [found, wrong])["AP50"] == pytest.approx(1)
    assert evaluated([truth, objects([], [])], [found, wrong])["AP50"] == pytest.approx(0.5)


def test_masks():
    mask = torch.zeros(1, 40, 40, dtype=torch.bool)
    mask[0, :20, :20] = True
    other = torch.zeros(1, 40, 40, dtype=torch.bool)
    other[0, :20, 10:30] = True  # IoU 1/3
    truth = objects([[0, 0, 20, 20]], [0], masks=mask)
    scores = torch.tensor([0.9])
    assert evaluated([truth], [truth.replace(scores=scores)], kind="segm")["AP"] == pytest.approx(1)
    assert evaluated([truth], [truth.replace(scores=scores, masks=other)], kind="segm")["AP50"] == 0


def test_no_predictions_and_no_truth():
    empty = objects([], [], [])
    assert evaluated([objects([A], [0])], [empty])["AP"] == 0
    assert evaluated([objects([], [])], [empty])["AP"] == -1


def test_per_class():
    evaluator = COCOEvaluator(("cat", "dog", "cow"))
    evaluator.process("v", [objects([A], [0], [0.9])], [objects([A, B], [0, 1])])
    assert evaluator.per_class() == {"cat": pytest.approx(1), "dog": 0, "cow": -1}


def test_other_limits_agree_with_cocos():
    truth = [objects([A, B], [0, 1])]
    found = [objects([A, FAR, [205, 200, 300, 290]], [0, 0, 1], [0.7, 0.8, 0.9])]
    assert evaluated(truth, found, max_detections=101) == pytest.approx(evaluated(truth, found))


def test_bad_input():
    evaluator = COCOEvaluator(CLASSES)
    with pytest.raises(ValueError, match="1 predictions and no frames"):
        evaluator.process("v", [objects([A], [0], [0.9])])
    with pytest.raises(ValueError, match="v, frame 0: label 7 of 2 classes"):
        evaluator.process("v", [objects([A], [7], [0.9])], [objects([A], [0])])
    with pytest.raises(ValueError, match="no annotated frame"):
        COCOEvaluator(CLASSES).evaluate()
