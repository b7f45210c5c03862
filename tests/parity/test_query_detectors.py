"""Query detectors, end to end from uint8 frames, against the outputs of the reference implementation."""

from __future__ import annotations

import kit
import pytest

NAMES = [
    "detr_r50_8x2_150e_coco",
    "deformable_detr_r50_16x2_50e_coco",
    "deformable_detr_refine_r50_16x2_50e_coco",
    "deformable_detr_twostage_refine_r50_16x2_50e_coco",
    "sparse_rcnn_r50_fpn_1x_coco",
]


@pytest.mark.parametrize("name", NAMES)
def test_detections_are_those_of_the_reference(name, tmp_path):
    agreement = kit.detector_agreement(name, tmp_path)
    assert agreement.passed, agreement
