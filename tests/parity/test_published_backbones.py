"""Detectors on other backbones than ResNets end to end against the recorded outputs of the reference."""

from __future__ import annotations

import kit
import pytest

GOLDENS = (
    "faster_rcnn_convnext-t_fpn_fp16_1x_det_bdd100k",
    "faster_rcnn_hrnetv2p_w18_1x_coco",
    "faster_rcnn_r2_101_fpn_2x_coco",
    "faster_rcnn_s50_fpn_syncbn-backbone+head_mstrain-range_1x_coco",
    "faster_rcnn_swin-t_fpn_1x_det_bdd100k",
    "retinanet_pvt-t_fpn_1x_det_bdd100k",
    "retinanet_pvtv2-b0_fpn_1x_det_bdd100k",
    "retinanet_regnetx-800MF_fpn_1x_coco",
)


@pytest.mark.parametrize("name", GOLDENS)
def test_outputs_equal_the_recorded_ones(name, tmp_path):
    result = kit.detector_agreement(name, tmp_path)
    assert result.passed, result
