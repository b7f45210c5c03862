"""PASCAL VOC's average precision on cases small enough to know the answer."""

from __future__ import annotations

import pytest
import torch

from vidperc.evaluation.voc import VOCEvaluator
from vidperc.structures import Instances

A, B, FAR = [0, 0, 100, 100], [200, 200, 300, 300], [400, 400, 450, 450]


def objects(boxes, scores=None, **fields):
    return Instances(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        scores=None if scores is None else torch.tensor(scores, dtype=torch.float32),
        **fields,
    )


def evaluated(truth, found, **options):
    evaluator = VOCEvaluator(("cat", "dog"), **options)
    evaluator.process("picture", [found], [truth])
    return evaluator.evaluate()


def test_classes_without_objects_are_left_out_of_the_mean():
    assert evaluated(objects([A]), objects([A], [0.9])) == {"mAP": 1.0, "AP cat": 1.0}


@pytest.mark.parametrize(("eleven_points", "expected"), [(False, 0.25), (True, 0.5 * 6 / 11)])
def test_half_found_after_a_false_one(eleven_points, expected):
    """Precision 1/2 up to recall 1/2: a quarter of the area, and 6 of 11 points."""
    scores = evaluated(objects([A, B]), objects([FAR, A], [0.9, 0.8]), eleven_points=eleven_points)
    assert scores["mAP"] == pytest.approx(expected)


def test_a_second_detection_of_an_object_is_false():
    """Right, false, right: precision 1 to recall 1/2, then 2/3."""
    scores = evaluated(objects([A, B]), objects([A, A, B], [0.9, 0.8, 0.7]))
    assert scores["mAP"] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_difficult_objects_neither_help_nor_harm():
    truth = objects([A, B], ignored=torch.tensor([False, True]))
    assert evaluated(truth, objects([B, A], [0.9, 0.8]))["mAP"] == 1.0


def test_nothing_found_and_nothing_to_find():
    assert evaluated(objects([A]), objects([], []))["mAP"] == 0.0
    with pytest.raises(ValueError, match="no annotated object"):
        evaluated(objects([]), objects([A], [0.5]))
